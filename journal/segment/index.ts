export { segmentsSql, snapshotSql, sqlString, sqlStrings, walSql } from './relation.ts';
