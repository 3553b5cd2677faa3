export { canonicalPartsSql, canonicalSql, leafHashSql, lowerEscapesSql, utcTextSql } from './canonical-sql.ts';
export { segmentsSql, snapshotSql, sqlStrings, walSql } from './relation.ts';
export { EVENT_SELECT, eventOfRow } from './rows.ts';
export { type SegmentPlan, type WalSource, type WrittenSegment, writeSegments } from './write.ts';
