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
  /** Where it came from, and its id there. */
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

export type DeadLetter = LetterHead & { fields: Fields };

export type NewDeadLetter = {
  stream: string;
  id: string;
  workspace?: string | undefined;
  kind: DeadLetterKind;
  reason: string;
  deliveries: number;
  fields: Fields;
};

const REASON_CHARS_MAX = 2_000;
const PREFIX = 'f:';

/** The entry of the stream of dead letters (docs/format.md, "Redis"): each field of the original stands as `f:<name>`. */
export function deadLetterFields(letter: NewDeadLetter): Record<string, string | Buffer> {
  const fields: Record<string, string | Buffer> = {
    stream: letter.stream,
    id: letter.id,
    kind: letter.kind,
    reason: letter.reason.slice(0, REASON_CHARS_MAX).toWellFormed(),
    deliveries: String(letter.deliveries),
  };
  if (letter.workspace !== undefined) fields.workspace = letter.workspace;
  for (const [name, value] of letter.fields) fields[PREFIX + name] = value;
  return fields;
}

/** `list`: names and values in turn, as Redis answers. */
export function deadLetterOf(id: string, list: readonly Buffer[]): DeadLetter {
  const own = new Map<string, string>();
  const fields: Fields = new Map();
  let bytes = 0;
  for (let at = 0; at + 1 < list.length; at += 2) {
    const name = (list[at] as Buffer).toString();
    const value = list[at + 1] as Buffer;
    if (name.startsWith(PREFIX)) {
      fields.set(name.slice(PREFIX.length), value);
      bytes += value.length;
    } else own.set(name, value.toString());
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
    fields,
  };
}
