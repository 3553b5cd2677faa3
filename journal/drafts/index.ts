export { type Assigned, CanonicalString, type CanonicalText, type DraftBatch, DraftList } from './batch.ts';
export { scanEvents } from './scan.ts';
