export { NoGroupError } from './ask.ts';
export { type AxiomMessage, axiomFields, axiomOfEntry } from './axiom-message.ts';
export { openRedis, type Redis, type RedisParts, type RedisUse, redisError } from './connection.ts';
export { EntryAssembler, entryParts, type JournalEntry, PART_BYTES, type Taken } from './entry.ts';
export { draftsOfJson } from './draft.ts';
export { checkRedis, type Durability, type RedisFacts, readFacts } from './facts.ts';
export * from './names.ts';
export { Malformed } from './fields.ts';
export { runScript } from './run-script.ts';
export { advanceCommitted, isCommitted, sendReply, takeReply } from './positions.ts';
export { compareIds, idBefore, idOfMs } from './stream-ids.ts';
export {
  deliveries,
  type GroupFacts,
  groupsOf,
  hasPending,
  length,
  type PendingSummary,
  pendingSummary,
  trimBelow,
} from './stream-state.ts';
export { type Added, ack, addAll, claimIdle, ensureGroup, readNew, readPending, type StreamEntry } from './streams.ts';
