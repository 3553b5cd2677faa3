export { type FileHolder, type HeldFiles, type HoldableFile, SegmentCache, withHeld } from './cache/index.ts';
export { canonicalEvent, leafHash } from './canonical.ts';
export { type CompactionReport, cleanUp, NO_COMPACTION, planMerge } from './compact/index.ts';
export { compactStore } from './compact-store.ts';
export { type Assigned, type CanonicalText, type DraftBatch, scanEvents } from './drafts/index.ts';
export { Engine, type EngineOptions, isOutOfMemory, type Row, type SqlValue, sqlString } from './duckdb/index.ts';
export * from './errors.ts';
export * from './event.ts';
export { FieldReader } from './field-reader.ts';
export { type FollowObserver, FollowedJournals, type JournalWrites } from './followed-journals.ts';
export { EVENT_FIELDS, type EventFieldName, type FieldKind, type FieldSpec } from './fields.ts';
export type { CompactionSettings } from './journal-compaction.ts';
export type { RetentionReport } from './journal-retention.ts';
export type { JournalStats } from './journal-stats.ts';
export type { Placed } from './journal-writer.ts';
export type { JournalQueue, Journals, Queued } from './journals.ts';
export { type JournalObserver, type JournalsOptions, LocalJournals } from './local-journals.ts';
export { parseJsonExact, valueText } from './json-text.ts';
export * from './limits.ts';
export { openStore, type ReadOnlyStore, storedWorkspaces } from './open-store.ts';
export type * from './ports.ts';
export { type Cut, type RemovalGate, removalSql } from './retention/index.ts';
export {
  canonicalSql,
  copyRows,
  EVENT_SELECT,
  eventOfRow,
  leafHashSql,
  lowerEscapesSql,
  type Run,
  segmentsSql,
  snapshotSql,
  sqlStrings,
  utcTextSql,
  type WrittenFile,
  walSql,
} from './segment/index.ts';
export * from './snapshot.ts';
export { DirectoryStore, isCode, makeDirDurable, openS3Store, probeStore, writeFileDurable } from './store/index.ts';
export {
  type Add,
  type BoundKind,
  DeltaTable,
  emptySql,
  type InitialRows,
  type TableField,
  type TableLayout,
  uploadSegment,
} from './table/index.ts';
export { type TermWriter, TermWriters } from './term-writers.ts';
export { canonicalTime, timeOfMs } from './time.ts';
export { compareUtf8 } from './utf8-order.ts';
export { derivedId, uuidV4, uuidV7, uuidV8 } from './uuid.ts';
export { type BodyShape, type RecordReader, readEvents, readRecords } from './validate.ts';
export { localDisk, type WalDisk, type WalFile } from './wal/index.ts';
