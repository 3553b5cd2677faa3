export type { Add, InitialRows } from './actions.ts';
export { emptySql, JOURNAL_LAYOUT, sqlType, type TableField, type TableLayout } from './layout.ts';
export type { TableFile } from './state.ts';
export { type BoundKind, type ColumnStatistics, deltaStats } from './stats.ts';
export { DeltaTable } from './table.ts';
export { uploadSegment } from './upload.ts';
