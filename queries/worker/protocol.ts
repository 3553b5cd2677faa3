import type { ErrorKind, FieldError, SnapshotFiles } from '../../journal/index.ts';
import type { EventFilter } from '../filters.ts';

/** What the service and its worker processes say to each other over IPC. The answer's bytes go through a pipe. */

/** Bounds of one job. */
export type WorkerLimits = {
  /** From the start of the job to its first byte; for an answer without bytes, to its end. */
  timeMs: number;
  /** How long a reader may leave the pipe full. */
  stallMs: number;
  /** DuckDB's memory; the process may hold PROCESS_BYTES more before it is killed. */
  memoryBytes: number;
  /** What DuckDB may spill to disk. */
  tempBytes: number;
  threads: number;
};

/** Node, DuckDB's own code and what DuckDB does not count, beside its memory limit. */
export const PROCESS_BYTES = 256 * 1024 * 1024;

/** A file that the job may read, by the only name the worker's SQL knows it by. */
export type Link = { name: string; target: string };

export type SqlFormat = 'json' | 'ndjson' | 'csv' | 'arrow';
export type SqlParam = string | number | boolean | null;
export type SqlColumn = { name: string; type: string };

export type SqlJob = {
  kind: 'sql';
  /** Who asks: only equals may be served by one process, one after another. */
  trust: string;
  /** With the links' names for paths. */
  files: SnapshotFiles;
  views: { name: string; sql: string }[];
  sql: string;
  params: SqlParam[];
  format: SqlFormat;
  /** Rows answered; the rest is left out, and `truncated` says so. */
  rowsMax: number;
};
/** Known before the first byte: the result is complete when it begins. */
export type SqlMeta = { columns: SqlColumn[]; rows: number; truncated: boolean };

export type ExportFormat = 'csv' | 'ndjson' | 'parquet' | 'arrow';
export type ExportProfile = 'raw' | 'spreadsheet';
export type ExportJob = {
  kind: 'export';
  files: SnapshotFiles;
  format: ExportFormat;
  profile: ExportProfile;
  filter: EventFilter;
};
export type ExportMeta = { rows: number };

export type ConvertFormat = 'csv' | 'parquet';
export type ConvertJob = { kind: 'convert'; path: string; format: ConvertFormat; gzip: boolean };
export type ConvertMeta = { columns: SqlColumn[] };

export type VerifyJob = { kind: 'verify'; files: SnapshotFiles };
export type Verification = {
  valid: boolean;
  /** Events examined. */
  events: number;
  /** event_hash of the newest event as stored; 64 zeros for an empty journal. */
  head_hash: string;
  first_seq: number | null;
  last_seq: number | null;
  first_bad?: { seq: number; reason: string };
};

export type RowSummary = { rows: number };

/** For each kind of job: what it asks, what is known before the first byte, what is known after the last. */
export type Jobs = {
  sql: { job: SqlJob; meta: SqlMeta; summary: RowSummary };
  export: { job: ExportJob; meta: ExportMeta; summary: RowSummary };
  convert: { job: ConvertJob; meta: ConvertMeta; summary: RowSummary };
  verify: { job: VerifyJob; meta: null; summary: Verification };
};
export type JobKind = keyof Jobs;
export type Job = Jobs[JobKind]['job'];

export type ToWorker = { type: 'job'; job: Job; links: Link[]; limits: WorkerLimits };

/**
 * What a process may serve after its first job: queries of the same workspace, the same trust and the same limits, which
 * are locked by then. Undefined: nothing. Both sides compute it, and compare.
 */
export function scopeOf(job: Job, { memoryBytes, tempBytes, threads }: WorkerLimits): string | undefined {
  if (job.kind !== 'sql') return undefined;
  return JSON.stringify([job.files.workspace, job.trust, memoryBytes, tempBytes, threads]);
}

/** memory: a limit of DuckDB's; internal: a fault of ours, whose message is for the log only. */
export type Failure = { kind: ErrorKind | 'memory' | 'internal'; message: string; errors: FieldError[] };

/** The fault is the text's own: the process that found it is as good as before. */
export function staysAfter(job: Job, failure: Failure): boolean {
  return job.kind === 'sql' && failure.kind === 'invalid';
}

export type FromWorker =
  | { type: 'warm' }
  | { type: 'ready'; meta: unknown }
  /** With the answer's length, and the worker waits for its next job; without, and it ends. */
  | { type: 'done'; summary: unknown; answerBytes?: number }
  /** And the worker ends, or waits for its next job: see `staysAfter`. */
  | { type: 'failed'; failure: Failure };
