export { type Cut, filesBelow, firstSeqAt } from './cut.ts';
export { type Order, removalEvent, removalSql, withdrawalEvent } from './order.ts';
export { type RemovalGate, type Removed, removeBelow } from './removal.ts';
export { eachRetiredId, keepRetired, type RetiredEvent, type RetiredStore, retiredEvents } from './retired.ts';
