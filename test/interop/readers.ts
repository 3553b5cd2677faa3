import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { clickHouse, deltaRs, findPython } from '../../scripts/table-readers.mjs';

/** `queries` name the table `journal`; every column they select is text. `version`: null is the newest. */
export type Asked = { table: string; version: number | null; queries: string[] };
export type Told = { results: (string | null)[][][]; table?: TableFacts };
export type TableFacts = {
  version: number;
  readerVersion: number;
  writerVersion: number;
  configuration: Record<string, string>;
  files: string[];
  /** Newest first. */
  history: ({ version: number; operation: string; txnId: string } & Record<string, unknown>)[];
};

/** An engine that knows nothing of us, and how its SQL says what ours says otherwise. */
export type Reader = {
  title: string;
  install(): void;
  ask(asked: Asked): Promise<Told>;
  /** A time column as microseconds since 1970, as text. */
  micros(column: string): string;
  hex(column: string): string;
  text(value: string): string;
  time(micros: bigint): string;
  /** By the bounds of these columns it leaves files out. */
  prunesBy: string[];
  /** Whether it tells of the table itself, and not of its rows only. */
  tellsTable: boolean;
};

const CLICKHOUSE_CHILD = fileURLToPath(new URL('./clickhouse-child.ts', import.meta.url));
const DELTA_RS_CHILD = fileURLToPath(new URL('./delta-rs.py', import.meta.url));

const clickHouseReader: Reader = {
  title: clickHouse.title,
  install: () => clickHouse.install(),
  ask: (asked) => askChild(process.execPath, [CLICKHOUSE_CHILD, clickHouse.dir], asked),
  micros: (column) => `toString(toUnixTimestamp64Micro(${column}))`,
  hex: (column) => `lower(hex(${column}))`,
  text: (value) => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`,
  time: (micros) => `fromUnixTimestamp64Micro(toInt64(${micros}), 'UTC')`,
  prunesBy: ['seq', 'entity_id'],
  tellsTable: false,
};

const deltaRsReader: Reader = {
  title: deltaRs.title,
  install: () => deltaRs.install(),
  ask: (asked) => askChild(findPython(), [DELTA_RS_CHILD], asked, { PYTHONPATH: deltaRs.dir }),
  micros: (column) => `CAST(CAST(${column} AS BIGINT) AS VARCHAR)`,
  hex: (column) => `encode(${column}, 'hex')`,
  text: (value) => `'${value.replaceAll("'", "''")}'`,
  time: (micros) => `arrow_cast(${micros}, 'Timestamp(Microsecond, Some("UTC"))')`,
  prunesBy: ['seq', 'entity_id', 'occurred_at'],
  tellsTable: true,
};

export const READERS: readonly Reader[] = [clickHouseReader, deltaRsReader];

/** Whether the reader is there, installed if need be. On a build machine its absence is an error. */
export function isThere(reader: Reader): boolean {
  try {
    reader.install();
    return true;
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    console.warn(`\nTHE TESTS THAT READ WITH ${reader.title} ARE SKIPPED: ${(error as Error).message}\n`);
    return false;
  }
}

async function askChild(command: string, args: string[], asked: Asked, env = {}): Promise<Told> {
  const child = spawn(command, args, { cwd: dirname(asked.table), env: { ...process.env, ...env } });
  child.stdin.end(JSON.stringify(asked));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [told, said] = await Promise.all([json(child.stdout).catch(() => undefined), text(child.stderr)]);
  const code = await exited;
  if (code !== 0 || told === undefined) throw new Error(`${command} ended with ${code}: ${said}`);
  return told as Told;
}
