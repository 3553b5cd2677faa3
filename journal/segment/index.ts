export { canonicalSql, leafHashSql, lowerEscapesSql, utcTextSql } from './canonical-sql.ts';
export { copyRows, type Run, type WrittenFile } from './copy.ts';
export { compareKeys, type EntityKey, type KeyRange } from './key-range.ts';
export { segmentsSql, snapshotSql, sqlStrings, walSql } from './relation.ts';
export {
  type Digest,
  type PartJob,
  sameDigest,
  type Survey,
  type SurveyJob,
  surveySegments,
  type WrittenPart,
  writePart,
} from './rewrite.ts';
export { EVENT_SELECT, eventOfRow } from './rows.ts';
export { type SegmentPlan, type WalSource, type WrittenSegment, writeSegments } from './write.ts';
