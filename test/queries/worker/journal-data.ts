import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { GENESIS, sqlString, type SnapshotFiles, walSql, ZERO_HASH } from '../../../journal/index.ts';

/** An event before its hash: exactly the canonical fields but seq, prev_hash and v. */
export type MadeEvent = {
  event_id: string;
  occurred_at: string;
  recorded_at: string;
  workspace_id: string;
  entity_type: string;
  entity_id: string;
  field: string;
  action: string;
  old_value: string | null;
  new_value: string | null;
  actor: string;
  actor_type: string | null;
  source: string | null;
  correlation_id: string | null;
  metadata: string | null;
};

export type MadeLine = { line: string; hash: string };

/** UTC text with microseconds. */
export function utcText(ms: number, micros = 0): string {
  return `${new Date(ms).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}

/** A WAL line, written independently of the journal's own code: the keys are in RFC 8785 order by hand. */
export function walLine(event: MadeEvent, seq: number, prevHash: string, group = 0): MadeLine {
  const canonical = `{"action":${JSON.stringify(event.action)},"actor":${JSON.stringify(event.actor)},"actor_type":${JSON.stringify(event.actor_type)},"correlation_id":${JSON.stringify(event.correlation_id)},"entity_id":${JSON.stringify(event.entity_id)},"entity_type":${JSON.stringify(event.entity_type)},"event_id":${JSON.stringify(event.event_id)},"field":${JSON.stringify(event.field)},"metadata":${JSON.stringify(event.metadata)},"new_value":${JSON.stringify(event.new_value)},"occurred_at":"${event.occurred_at}","old_value":${JSON.stringify(event.old_value)},"prev_hash":"${prevHash}","recorded_at":"${event.recorded_at}","seq":${seq},"source":${JSON.stringify(event.source)},"v":1,"workspace_id":"${event.workspace_id}"}`;
  const hash = createHash('sha256').update('\0').update(canonical).digest('hex');
  return { hash, line: `{"group":${group},"event_hash":"${hash}",${canonical.slice(1)}\n` };
}

const T0 = Date.UTC(2026, 0, 1);
const ACTIONS = ['insert', 'update', 'update', 'update', 'delete', 'ingest'];

/** A plausible event, a pure function of its position. Every hundredth needs escaping. */
export function madeEvent(index: number, workspace = 'acme'): MadeEvent {
  const mixed = Math.imul(index + 1, 2654435761) >>> 0;
  const awkward = index % 100 === 7;
  return {
    event_id: `0199c3b2-7d1e-7${(mixed & 0xfff).toString(16).padStart(3, '0')}-8000-${index.toString(16).padStart(12, '0')}`,
    occurred_at: utcText(T0 + index * 10 - (mixed % 1000), mixed % 1000),
    recorded_at: utcText(T0 + index * 10, 0),
    workspace_id: workspace,
    entity_type: mixed % 5 === 0 ? 'order' : 'file',
    entity_id: `src/module-${mixed % 20011}.ts`,
    field: mixed % 3 === 0 ? '*' : 'status',
    action: ACTIONS[mixed % 6] as string,
    old_value: mixed % 3 === 0 ? null : JSON.stringify(awkward ? 'say "hi"\n\u0001' : `open-${mixed % 97}`),
    new_value: mixed % 7 === 0 ? String(mixed) : JSON.stringify(`closed-${mixed % 89}`),
    actor: awkward ? 'Zoë "Z" O’Neill' : `user-${mixed % 500}`,
    actor_type: 'user',
    source: mixed % 2 === 0 ? 'api' : null,
    correlation_id: `req-${mixed.toString(16)}`,
    metadata: mixed % 11 === 0 ? `{"n":${mixed},"big":123456789012345678901234567890}` : null,
  };
}

export type JournalSpec = {
  events: number;
  /** The last events stay in NDJSON. */
  tail?: number;
  segments?: number;
  workspace?: string;
  make?: (index: number) => MadeEvent;
  /** Interleaves the segments' seqs, as compaction by entity does. */
  overlapping?: boolean;
};

/** Writes a journal as Parquet segments and a tail, and returns it as a snapshot. */
export async function makeJournal(
  connection: DuckDBConnection,
  dir: string,
  spec: JournalSpec,
): Promise<SnapshotFiles> {
  mkdirSync(dir, { recursive: true });
  const { events, tail = 0, segments = 1, workspace = 'acme', overlapping = false } = spec;
  const make = spec.make ?? ((index: number) => madeEvent(index, workspace));
  const sealed = events - tail;
  const walPath = join(dir, 'sealed.ndjson');
  let prev = writeLines(walPath, 0, sealed, ZERO_HASH, make);
  const files: SnapshotFiles = {
    workspace,
    start: GENESIS,
    committedSeq: sealed - 1,
    durableSeq: events - 1,
    segments: [],
    tail: [],
  };
  const relation = walSql([walPath]);
  const size = Math.ceil(sealed / segments);
  for (let index = 0; index < segments && sealed > 0; index += 1) {
    const path = join(dir, `segment-${index}.parquet`);
    const [first, last] = [index * size, Math.min(sealed, (index + 1) * size) - 1];
    const where = overlapping ? `seq % ${segments} = ${index}` : `seq BETWEEN ${first} AND ${last}`;
    await connection.run(
      `COPY (SELECT * FROM (${relation}) WHERE ${where} ORDER BY entity_type, entity_id, seq) TO ${sqlString(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192)`,
    );
    const counted = await connection.runAndReadAll(
      `SELECT count(*)::INTEGER, min(seq)::INTEGER, max(seq)::INTEGER FROM read_parquet(${sqlString(path)})`,
    );
    const [rows, firstSeq, lastSeq] = counted.getRowsJS()[0] as [number, number, number];
    files.segments.push({ path, rows, firstSeq, lastSeq });
  }
  if (tail > 0) {
    const path = join(dir, 'tail.ndjson');
    prev = writeLines(path, sealed, events, prev, make);
    files.tail.push(path);
  }
  return files;
}

function writeLines(
  path: string,
  from: number,
  to: number,
  prevHash: string,
  make: (index: number) => MadeEvent,
): string {
  const file = openSync(path, 'w');
  let prev = prevHash;
  let text = '';
  for (let seq = from; seq < to; seq += 1) {
    const made = walLine(make(seq), seq, prev);
    prev = made.hash;
    text += made.line;
    if (text.length > 1 << 20) {
      writeSync(file, text);
      text = '';
    }
  }
  writeSync(file, text);
  closeSync(file);
  return prev;
}
