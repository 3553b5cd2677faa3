import { Buffer } from 'node:buffer';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Engine, sqlString } from '../duckdb/index.ts';
import { assert } from '../errors.ts';
import { type Action, type Commit, commitOf } from './actions.ts';

/**
 * Checkpoints: the whole table at a version as one Parquet file, so that old commits need not be read, nor kept.
 * Classic and in one part, as every Delta reader knows it.
 */

/** DuckDB with a directory for files that may be lost: `name` is unique in it. */
export type Scratch = { engine: Engine; dir: string; name: string };

const MAP = 'MAP(VARCHAR, VARCHAR)';
const COLUMNS: Readonly<Record<'txn' | 'add' | 'remove' | 'metaData' | 'protocol', string>> = {
  txn: 'STRUCT(appId VARCHAR, version BIGINT, lastUpdated BIGINT)',
  add: `STRUCT(path VARCHAR, partitionValues ${MAP}, size BIGINT, modificationTime BIGINT, dataChange BOOLEAN, tags ${MAP}, stats VARCHAR)`,
  remove: `STRUCT(path VARCHAR, deletionTimestamp BIGINT, dataChange BOOLEAN, extendedFileMetadata BOOLEAN, partitionValues ${MAP}, size BIGINT)`,
  metaData: `STRUCT(id VARCHAR, name VARCHAR, description VARCHAR, format STRUCT(provider VARCHAR, options ${MAP}), schemaString VARCHAR, partitionColumns VARCHAR[], configuration ${MAP}, createdTime BIGINT)`,
  protocol: 'STRUCT(minReaderVersion INTEGER, minWriterVersion INTEGER)',
};
const NAMES = Object.keys(COLUMNS);
const JSON_COLUMNS = `{${Object.entries(COLUMNS)
  .map(([name, type]) => `${name}: '${type}'`)
  .join(', ')}}`;

/** The Parquet bytes of a checkpoint. */
export async function checkpointBytes({ engine, dir, name }: Scratch, actions: readonly Action[]): Promise<Uint8Array> {
  const [json, parquet] = [join(dir, `${name}.json`), join(dir, `${name}.parquet`)];
  await mkdir(dir, { recursive: true });
  try {
    await writeFile(json, actions.map((action) => `${JSON.stringify(action)}\n`).join(''));
    const [result] = await engine.all(
      `COPY (SELECT ${NAMES.join(', ')} FROM read_json(${sqlString(json)}, format='newline_delimited', columns=${JSON_COLUMNS}, auto_detect=false))
       TO ${sqlString(parquet)} (FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION V1)`,
    );
    assert(Number(result?.Count) === actions.length, 'a checkpoint has a row for each action');
    return await readFile(parquet);
  } finally {
    for (const path of [json, parquet]) await rm(path, { force: true });
  }
}

/** A checkpoint as if it were one commit. undefined: the bytes are no checkpoint. */
export async function parseCheckpoint(
  { engine, dir, name }: Scratch,
  version: number,
  bytes: Uint8Array,
): Promise<Commit | undefined> {
  const path = join(dir, `${name}.parquet`);
  await mkdir(dir, { recursive: true });
  await writeFile(path, bytes);
  const columns = NAMES.map((column) => `to_json(${column})::VARCHAR AS ${column}`).join(', ');
  try {
    const rows = await engine.all<Record<string, string | null>>(
      `SELECT ${columns} FROM read_parquet(${sqlString(path)})`,
    );
    const commit = commitOf(
      version,
      rows.map((row) => actionOf(row)),
    );
    return commit.protocol && commit.metaData ? commit : undefined;
  } catch {
    // Damaged, or of a form we do not write: the commits before it still tell.
    return undefined;
  } finally {
    await rm(path, { force: true });
  }
}

function actionOf(row: Record<string, string | null>): Action {
  const parts = NAMES.filter((name) => row[name] != null).map((name) => [name, parsed(row[name] as string)]);
  return Object.fromEntries(parts) as Action;
}

/** What a column of a row has no value for is absent, as in a commit. */
function parsed(json: string): unknown {
  return JSON.parse(json, (_, value) => value ?? undefined);
}

export function lastCheckpointBytes(version: number, actions: readonly Action[], sizeInBytes: number): Uint8Array {
  const numOfAddFiles = actions.filter((action) => action.add).length;
  return Buffer.from(JSON.stringify({ version, size: actions.length, sizeInBytes, numOfAddFiles }));
}

/** The version that `_last_checkpoint` names. undefined where it is damaged: it is a hint and nothing else. */
export function lastCheckpointVersion(bytes: Uint8Array | undefined): number | undefined {
  if (!bytes) return undefined;
  try {
    const { version } = JSON.parse(Buffer.from(bytes).toString()) as { version?: unknown };
    return Number.isSafeInteger(version) && (version as number) >= 0 ? (version as number) : undefined;
  } catch {
    return undefined;
  }
}
