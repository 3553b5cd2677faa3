export { agreePartitions, partitionOf } from './partition-of.ts';
export { JournalWorker, type WorkerObserver } from './journal-worker.ts';
export { queuedId } from './entry-drafts.ts';
export { resultOf } from './reply-text.ts';
export type { JournalLetter } from './term.ts';
