export {
  type CompactionObserver,
  type CompactionReport,
  type CompactionTarget,
  Compactor,
} from './compactor.ts';
export { PART_ROWS, planMerge } from './plan.ts';
