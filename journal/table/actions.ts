import { assert, IndelibleError } from '../errors.ts';
import type { TableLayout } from './layout.ts';

/**
 * The Delta Lake transaction log protocol, as far as an append-only table needs it: reader version 1, writer version 2.
 * https://github.com/delta-io/delta/blob/master/PROTOCOL.md
 */

export const APP_ID = 'indelible';
/** Its txn's version is the token of the writer that took the table over last; a lower one commits nothing more. */
export const WRITER_APP_ID = 'indelible-writer';
const ENGINE_INFO = 'indelible/1';

export type Add = {
  path: string;
  partitionValues: Record<string, never>;
  size: number;
  modificationTime: number;
  dataChange: boolean;
  /** JSON text, kept as it was written: parsing and printing it again would round large numbers. Ours always has it. */
  stats?: string;
  tags?: Record<string, string>;
};
export type Remove = {
  path: string;
  deletionTimestamp?: number;
  dataChange: boolean;
  extendedFileMetadata?: boolean;
  partitionValues?: Record<string, string>;
  size?: number;
};
export type Txn = { appId: string; version: number; lastUpdated?: number };
export type MetaData = {
  id: string;
  schemaString: string;
  partitionColumns: string[];
  configuration: Record<string, string>;
};
export type Protocol = { minReaderVersion: number; minWriterVersion: number };

/** What a table holds from its first commit on. */
export type InitialRows = {
  adds: readonly Add[];
  /** The position up to which they are everything. */
  lastSeq: number;
  /** Members of our own in commitInfo. */
  commitInfo: Record<string, unknown>;
};

/** One commit of the log, whoever wrote it. */
export type Commit = {
  version: number;
  txnId: string | undefined;
  adds: Add[];
  removes: Remove[];
  txns: Txn[];
  metaData: MetaData | undefined;
  protocol: Protocol | undefined;
};

const LOG_DIR = '_delta_log';

/** Key of a commit below the table's prefix. */
export function commitKey(version: number): string {
  return `${LOG_DIR}/${String(version).padStart(20, '0')}.json`;
}

/** Key of a classic single-file checkpoint below the table's prefix. */
export function checkpointKey(version: number): string {
  return commitKey(version).replace(/json$/, 'checkpoint.parquet');
}

export const LAST_CHECKPOINT_KEY = `${LOG_DIR}/_last_checkpoint`;

/** What a key of the log is, undefined for other files of it. */
export function logEntry(key: string): { kind: 'commit' | 'checkpoint'; version: number } | undefined {
  const match = /(?:^|\/)_delta_log\/(\d{20})\.(json|checkpoint\.parquet)$/.exec(key);
  return match ? { kind: match[2] === 'json' ? 'commit' : 'checkpoint', version: Number(match[1]) } : undefined;
}

/** A new table; `adds` with a position where it is not empty from the first. `more` goes into commitInfo. */
export function createTableText(options: {
  name: string;
  tableId: string;
  layout: TableLayout;
  initial?: InitialRows | undefined;
  txnId: string;
  nowMs: number;
}): string {
  const { layout, initial, nowMs } = options;
  const schemaString = JSON.stringify({
    type: 'struct',
    fields: layout.schema.map(({ name, type }) => ({ name, type, nullable: true, metadata: {} })),
  });
  const more = { isBlindAppend: true, ...initial?.commitInfo };
  return lines([
    commitInfo(options, 'CREATE TABLE', { mode: 'ErrorIfExists', partitionBy: '[]' }, more),
    { protocol: { minReaderVersion: 1, minWriterVersion: 2 } },
    {
      metaData: {
        id: options.tableId,
        name: options.name,
        description: null,
        format: { provider: 'parquet', options: {} },
        schemaString,
        partitionColumns: [],
        configuration: { 'delta.appendOnly': String(layout.isAppendOnly) },
        createdTime: nowMs,
      },
    },
    ...(initial ? moved(initial.lastSeq, nowMs, initial.adds) : []),
  ]);
}

function moved(lastSeq: number, nowMs: number, adds: readonly Add[]): object[] {
  return [{ txn: { appId: APP_ID, version: lastSeq, lastUpdated: nowMs } }, ...adds.map((add) => ({ add }))];
}

/** An append of one segment, or of none; `lastSeq` becomes the txn version, which makes sealing exactly-once. */
export function appendText(options: {
  add: Add | undefined;
  lastSeq: number;
  readVersion: number;
  txnId: string;
  nowMs: number;
}): string {
  const more = { readVersion: options.readVersion, isolationLevel: 'Serializable', isBlindAppend: true };
  return lines([
    commitInfo(options, 'WRITE', { mode: 'Append', partitionBy: '[]' }, more),
    ...moved(options.lastSeq, options.nowMs, options.add ? [options.add] : []),
  ]);
}

/** The table belongs to the writer of this token from here on. */
export function takeOverText(options: { token: number; readVersion: number; txnId: string; nowMs: number }): string {
  const { token, readVersion, nowMs } = options;
  const more = { readVersion, isolationLevel: 'Serializable', isBlindAppend: true };
  return lines([
    commitInfo(options, 'SET WRITER', { token: String(token) }, more),
    { txn: { appId: WRITER_APP_ID, version: token, lastUpdated: nowMs } },
  ]);
}

/**
 * The same in other files. Of a journal removes and adds change no data, which an append-only table allows; whether they
 * do is what the adds say.
 */
export function optimizeText(options: {
  removes: readonly Add[];
  adds: readonly [Add, ...Add[]];
  readVersion: number;
  txnId: string;
  nowMs: number;
}): string {
  const [{ dataChange }] = options.adds;
  const more = { readVersion: options.readVersion, isolationLevel: 'SnapshotIsolation', isBlindAppend: false };
  return lines([
    commitInfo(options, 'OPTIMIZE', { predicate: '[]', zOrderBy: '[]' }, more),
    ...options.removes.map((add) => ({ remove: { ...tombstone(add, options.nowMs), dataChange } })),
    ...options.adds.map((add) => ({ add })),
  ]);
}

/** Other properties of the table, the rest of its metadata as it was. */
export function setPropertiesText(options: {
  metaData: MetaData;
  properties: Record<string, string>;
  readVersion: number;
  txnId: string;
  nowMs: number;
}): string {
  const { metaData, properties: configuration, readVersion } = options;
  const more = { readVersion, isolationLevel: 'Serializable', isBlindAppend: true };
  return lines([
    commitInfo(options, 'SET TBLPROPERTIES', { properties: JSON.stringify(configuration) }, more),
    { metaData: { ...metaData, configuration } },
  ]);
}

/**
 * The events below a position leave the table: files go, files that also hold later events are replaced. The new
 * properties say in the same commit where the journal begins.
 */
export function deleteText(options: {
  firstSeq: number;
  removes: readonly Add[];
  adds: readonly Add[];
  metaData: MetaData;
  properties: Record<string, string>;
  readVersion: number;
  txnId: string;
  nowMs: number;
}): string {
  const { firstSeq, removes, adds, metaData, properties: configuration, readVersion, nowMs } = options;
  const more = { readVersion, isolationLevel: 'Serializable', isBlindAppend: false };
  return lines([
    commitInfo(options, 'DELETE', { predicate: JSON.stringify([`(seq < ${firstSeq})`]) }, more),
    { metaData: { ...metaData, configuration } },
    ...removes.map((add) => ({ remove: { ...tombstone(add, nowMs), dataChange: true } })),
    ...adds.map((add) => ({ add })),
  ]);
}

function tombstone({ path, partitionValues, size }: Add, nowMs: number): Remove {
  return { path, deletionTimestamp: nowMs, dataChange: false, extendedFileMetadata: true, partitionValues, size };
}

function commitInfo(
  options: { txnId: string; nowMs: number },
  operation: string,
  operationParameters: Record<string, string>,
  more: Record<string, unknown>,
) {
  return {
    commitInfo: {
      timestamp: options.nowMs,
      operation,
      operationParameters,
      ...more,
      engineInfo: ENGINE_INFO,
      txnId: options.txnId,
    },
  };
}

function lines(actions: readonly object[]): string {
  return `${actions.map((action) => JSON.stringify(action)).join('\n')}\n`;
}

/** @throws IndelibleError corrupt where the text is no commit of a Delta log. */
export function parseCommit(version: number, text: string): Commit {
  const actions: Action[] = [];
  for (const line of text.split('\n')) if (line.trim() !== '') actions.push(parseAction(version, line));
  return commitOf(version, actions);
}

export function commitOf(version: number, actions: readonly Action[]): Commit {
  const commit: Commit = {
    version,
    txnId: undefined,
    adds: [],
    removes: [],
    txns: [],
    metaData: undefined,
    protocol: undefined,
  };
  for (const action of actions) {
    if (action.add) commit.adds.push(action.add);
    if (action.remove) commit.removes.push(action.remove);
    if (action.txn) commit.txns.push(action.txn);
    if (action.metaData) commit.metaData = action.metaData;
    if (action.protocol) commit.protocol = action.protocol;
    if (action.commitInfo?.txnId) commit.txnId = action.commitInfo.txnId;
  }
  return commit;
}

/** One line of the log, one row of a checkpoint. */
export type Action = {
  add?: Add;
  remove?: Remove;
  txn?: Txn;
  metaData?: MetaData;
  protocol?: Protocol;
  commitInfo?: { txnId?: string };
};

function parseAction(version: number, line: string): Action {
  try {
    const action = JSON.parse(line) as Action;
    assert(typeof action === 'object' && action !== null, 'an action is an object');
    return action;
  } catch (cause) {
    throw new IndelibleError('corrupt', `${commitKey(version)} holds a line that is no Delta action`, { cause });
  }
}
