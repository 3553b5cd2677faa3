export {
  type CompactionObserver,
  type CompactionReport,
  type CompactionTarget,
  Compactor,
  NO_COMPACTION,
} from './compactor.ts';
export { PART_ROWS, planMerge } from './plan.ts';
