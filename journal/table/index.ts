export { type Add, TABLE_SCHEMA } from './actions.ts';
export { type ColumnStatistics, deltaStats } from './stats.ts';
export { type AppendOutcome, DeltaTable, type TableFile } from './table.ts';
