export { StreamAdmin, type StreamAdminOptions } from './admin.ts';
export type { DeadLetter, DeadLetterKind, LetterHead, NewDeadLetter } from './dead-letter.ts';
export { DeadLetters, type DeadLettersObserver } from './dead-letters.ts';
export { Reclaimer, type ReclaimerObserver, type ReclaimerOptions } from './reclaimer.ts';
export { type Replayed, type ReplayRequest, replayGroup } from './replay-group.ts';
export { StreamUpkeep, type UpkeepObserver, type UpkeepOptions } from './stream-upkeep.ts';
