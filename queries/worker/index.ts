export { linked } from './links.ts';
export { WorkerPool, type WorkerPoolOptions } from './pool.ts';
export type {
  ConvertFormat,
  ConvertMeta,
  ExportFormat,
  ExportMeta,
  ExportProfile,
  Link,
  RowSummary,
  SqlColumn,
  SqlFormat,
  SqlMeta,
  SqlParam,
  Verification,
  WorkerLimits,
} from './protocol.ts';
export type { WorkerRun } from './run.ts';
export { BYTE_ORDER_MARK, csvCell, disarmed } from './text-rows.ts';
