export * from './errors.ts';
export * from './event.ts';
export * from './limits.ts';
export type * from './ports.ts';
export * from './snapshot.ts';
export { segmentsSql, snapshotSql, sqlString, sqlStrings, walSql } from './segment/index.ts';
export { Engine, type EngineOptions, type Row, type SqlValue } from "./duckdb/index.ts";
