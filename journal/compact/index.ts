export {
  type CompactionObserver,
  type CompactionReport,
  type CompactionTarget,
  Compactor,
  NO_COMPACTION,
} from './compactor.ts';
export { cleanUp } from './cleanup.ts';
export { PART_ROWS, planMerge } from './plan.ts';
