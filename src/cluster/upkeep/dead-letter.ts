import type { StreamEntry } from '../redis/index.ts';

/**
 * malformed  it cannot be read at all
 * poison     it was delivered too often and never acknowledged: whoever takes it up ends
 * conflict   an id of it is taken by other content
 * refused    the journal does not take it
 */
export type DeadLetterKind = 'malformed' | 'poison' | 'conflict' | 'refused';

type Fields = StreamEntry['fields'];

export type LetterHead = {
  id: string;
  /** Where it came from, and its id there: of an entry of several parts the first one's. */
  stream: string;
  entryId: string;
  workspace: string | undefined;
  kind: DeadLetterKind;
  reason: string;
  /** How often it was delivered. */
  deliveries: number;
  /** Of all its fields. */
  bytes: number;
};

/** `parts`: the fields of the entry, or of each of its entries where it was one of several parts. */
export type DeadLetter = LetterHead & { parts: Fields[] };

export type NewDeadLetter = {
  stream: string;
  id: string;
  workspace?: string | undefined;
  kind: DeadLetterKind;
  reason: string;
  deliveries: number;
  fields: Fields;
  /** Of an entry of several parts: the fields of those behind the first, which are replayed behind it. */
  more?: readonly Fields[];
};

const REASON_CHARS_MAX = 2_000;
const PART_FIELD = /^f(\d*):/;

/**
 * The entry of the stream of dead letters (docs/format.md, "Redis"): each field of the original stands as `f:<name>`,
 * those of a second and further part as `f2:<name>`, `f3:<name>` …
 */
export function deadLetterFields(letter: NewDeadLetter): Record<string, string | Buffer> {
  const fields: Record<string, string | Buffer> = {
    stream: letter.stream,
    id: letter.id,
    kind: letter.kind,
    reason: letter.reason.slice(0, REASON_CHARS_MAX).toWellFormed(),
    deliveries: String(letter.deliveries),
  };
  if (letter.workspace !== undefined) fields.workspace = letter.workspace;
  for (const [index, part] of [letter.fields, ...(letter.more ?? [])].entries()) {
    const prefix = index === 0 ? 'f:' : `f${index + 1}:`;
    for (const [name, value] of part) fields[`${prefix}${name}`] = value;
  }
  return fields;
}

/** `list`: names and values in turn, as Redis answers. */
export function deadLetterOf(id: string, list: readonly Buffer[]): DeadLetter {
  const own = new Map<string, string>();
  const parts: Fields[] = [];
  let bytes = 0;
  for (let at = 0; at + 1 < list.length; at += 2) {
    const name = (list[at] as Buffer).toString();
    const value = list[at + 1] as Buffer;
    const number = PART_FIELD.exec(name);
    if (number === null) {
      own.set(name, value.toString());
      continue;
    }
    const index = Number(number[1] || '1') - 1;
    bytes += value.length;
    parts[index] ??= new Map();
    parts[index].set(name.slice(number[0].length), value);
  }
  return {
    id,
    stream: own.get('stream') ?? '',
    entryId: own.get('id') ?? '',
    workspace: own.get('workspace'),
    kind: own.get('kind') as DeadLetterKind,
    reason: own.get('reason') ?? '',
    deliveries: Number(own.get('deliveries')),
    bytes,
    parts,
  };
}
