import { checkVersion, type Fields, Malformed, numberOf, oneOf, textOf, workspaceOf } from './fields.ts';
import type { StreamEntry } from './streams.ts';

/** Events on their way into one journal, as they were accepted: taken whole or not at all. */
export type JournalEntry = {
  workspace: string;
  /** 'caller': the body as the door takes it. 'service': drafts of ours, reserved entity types allowed. */
  origin: 'caller' | 'service';
  shape: 'json' | 'ndjson';
  /** Of 'service': a JSON array of DraftEvent objects. */
  body: Buffer;
  /** Events without an id get keyedId(workspace, idBase, index). */
  idBase: string;
  /** What to do with an event whose id is taken by other content: refuse the whole entry, or skip that event. */
  onTaken: 'refuse' | 'skip';
  /** Who waits for the commit: the worker answers there, and commits soon. */
  reply: { webId: string; requestId: string } | undefined;
  /** When it was accepted, milliseconds since the epoch. */
  acceptedMs: number;
};

/** Bytes of a body in one stream entry: a larger one would keep Redis and every other reader waiting. */
export const PART_BYTES = 256 * 1024;
const VERSION = '1';

type PartFields = Record<string, string | Buffer>;

/**
 * The fields of the stream entries that hold it, which belong one behind the other (docs/format.md, "Redis"). The first
 * tells of the entry, each holds up to `partBytes` of the body.
 */
export function entryParts(entry: JournalEntry, partBytes = PART_BYTES): PartFields[] {
  const count = Math.max(1, Math.ceil(entry.body.length / partBytes));
  const head: PartFields = {
    v: VERSION,
    workspace: entry.workspace,
    origin: entry.origin,
    shape: entry.shape,
    id_base: entry.idBase,
    on_taken: entry.onTaken,
    accepted_ms: String(entry.acceptedMs),
  };
  if (entry.reply) {
    head.web_id = entry.reply.webId;
    head.request_id = entry.reply.requestId;
  }
  if (count === 1) return [{ ...head, body: entry.body }];
  return Array.from({ length: count }, (_, part) => ({
    ...(part === 0 ? head : { v: VERSION, id_base: entry.idBase }),
    part: String(part),
    parts: String(count),
    body: entry.body.subarray(part * partBytes, (part + 1) * partBytes),
  }));
}

export type Taken =
  | { kind: 'whole'; entry: JournalEntry; ids: string[] }
  | { kind: 'malformed'; reason: string; ids: string[] };

type Part = { index: number; count: number; idBase: string; body: Buffer };
type Begun = { entry: JournalEntry; count: number; bodies: Buffer[]; ids: string[] };

/** Makes entries of a stream's entries again, which it is given in their order, and all of them. */
export class EntryAssembler {
  #begun: Begun | undefined;

  /** Ids of the parts that wait for the rest of their entry. */
  get waitingIds(): readonly string[] {
    return this.#begun?.ids ?? [];
  }

  /**
   * What is complete now, in the order of the stream: nothing where this is a part and others follow; two results where
   * parts before it were left without their rest.
   */
  take(entry: StreamEntry): Taken[] {
    const ids = [entry.id];
    let part: Part;
    try {
      part = readPart(entry.fields);
      if (part.index > 0) return this.#goOn(part, entry.id);
      const taken: JournalEntry = { ...readHead(entry.fields), body: part.body };
      const left = this.#leave();
      if (part.count === 1) return [...left, { kind: 'whole', entry: taken, ids }];
      this.#begun = { entry: taken, count: part.count, bodies: [part.body], ids };
      return left;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return [...this.#leave(), { kind: 'malformed', reason: error.message, ids }];
    }
  }

  #goOn(part: Part, id: string): Taken[] {
    const begun = this.#begun;
    const isNext =
      begun !== undefined &&
      part.index === begun.bodies.length &&
      part.count === begun.count &&
      part.idBase === begun.entry.idBase;
    if (!isNext) throw new Malformed(`part ${part.index} of ${part.count} does not follow the one before it`);
    begun.bodies.push(part.body);
    begun.ids.push(id);
    if (begun.bodies.length < begun.count) return [];
    this.#begun = undefined;
    return [{ kind: 'whole', entry: { ...begun.entry, body: Buffer.concat(begun.bodies) }, ids: begun.ids }];
  }

  /** Parts whose rest does not come any more. */
  #leave(): Taken[] {
    const begun = this.#begun;
    if (begun === undefined) return [];
    this.#begun = undefined;
    const reason = `part ${begun.bodies.length} of ${begun.count} is missing`;
    return [{ kind: 'malformed', reason, ids: begun.ids }];
  }
}

function readPart(fields: Fields): Part {
  checkVersion(fields, VERSION);
  const body = fields.get('body');
  if (body === undefined) throw new Malformed('body is missing');
  const idBase = textOf(fields, 'id_base');
  if (!fields.has('parts')) return { index: 0, count: 1, idBase, body };
  const index = numberOf(fields, 'part');
  const count = numberOf(fields, 'parts');
  if (index >= count) throw new Malformed('part is not below parts');
  return { index, count, idBase, body };
}

function readHead(fields: Fields): Omit<JournalEntry, 'body'> {
  const webId = fields.get('web_id')?.toString();
  const requestId = fields.get('request_id')?.toString();
  if ((webId === undefined) !== (requestId === undefined)) throw new Malformed('web_id and request_id come together');
  return {
    workspace: workspaceOf(fields),
    origin: oneOf(fields, 'origin', ['caller', 'service']),
    shape: oneOf(fields, 'shape', ['json', 'ndjson']),
    idBase: textOf(fields, 'id_base'),
    onTaken: oneOf(fields, 'on_taken', ['refuse', 'skip']),
    reply: webId === undefined || requestId === undefined ? undefined : { webId, requestId },
    acceptedMs: numberOf(fields, 'accepted_ms'),
  };
}
