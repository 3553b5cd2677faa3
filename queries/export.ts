import type { SnapshotFiles } from '../journal/index.ts';
import type { EventFilter } from './filters.ts';
import {
  type ExportFormat,
  type ExportProfile,
  linked,
  type WorkerLimits,
  type WorkerPool,
  type WorkerRun,
} from './worker/index.ts';

export type ExportRequest = {
  format: ExportFormat;
  /**
   * For csv. raw: RFC 4180. spreadsheet: a UTF-8 BOM, and a ' before text cells that begin like a formula, which
   * changes what they say.
   */
  profile?: ExportProfile;
  filter?: EventFilter;
  limits: WorkerLimits;
  signal?: AbortSignal;
};

/**
 * The snapshot's events by ascending seq: the columns of EVENT_COLUMNS, then prev_hash (event_hash at seq − 1, also
 * where the filter leaves that event out; 64 zeros at seq 0). Hashes are hex in csv and ndjson, bytes in parquet and
 * arrow. In csv, values that are JSON strings are shown without quotes and absent ones empty; ndjson is the event's
 * JSON. The body errors where it would be short of `meta.rows`; memory does not grow with the journal.
 * @throws IndelibleError timeout, too-large (a limit of memory or spill), busy, unavailable
 */
export async function runExport(
  pool: WorkerPool,
  files: SnapshotFiles,
  request: ExportRequest,
): Promise<WorkerRun<'export'>> {
  const { format, profile = 'raw', filter = {}, limits, signal } = request;
  const snapshot = linked(files);
  const job = { kind: 'export' as const, files: snapshot.files, format, profile, filter };
  return pool.run<'export'>(job, { limits, links: snapshot.links, signal });
}
