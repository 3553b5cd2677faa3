export { type Add, TABLE_SCHEMA } from './actions.ts';
export type { TableFile } from './state.ts';
export { type ColumnStatistics, deltaStats } from './stats.ts';
export { DeltaTable } from './table.ts';
export { uploadSegment } from './upload.ts';
