export { agreePartitionsInStore } from './agreement.ts';
export { AxiomConsumer, AxiomQueue, type AxiomObserver } from './axioms/index.ts';
export { ClusterLink } from './link.ts';
export { JournalWorker, partitionOf, type WorkerObserver } from './partitions/index.ts';
export type { PressureLevel, PressureObserver } from './pressure/index.ts';
export {
  type DeadLettersObserver,
  Reclaimer,
  type ReclaimerObserver,
  StreamAdmin,
  StreamUpkeep,
  type UpkeepObserver,
} from './upkeep/index.ts';
