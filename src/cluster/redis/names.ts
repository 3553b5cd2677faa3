/**
 * Names in Redis (docs/format.md, "Redis"). What stands in braces decides the slot of a Redis Cluster: everything of one
 * partition lies together, and so do both streams of axioms.
 */

/** Signals on their way to a verdict: the ordinary ones, and those that are looked at first. */
export const AXIOMS = 'indelible:axioms';
/** In the slot of AXIOMS, whose name has no braces and is hashed whole. */
export const AXIOMS_HIGH = '{indelible:axioms}:high';
/** The consumer group that judges. */
export const COMPLIANCE_GROUP = 'compliance';

/** Events on their way into the journals of a partition. */
export function journalStream(partition: number): string {
  return `indelible:{journal:${partition}}:events`;
}
/** The consumer group of journalStream: whoever holds the partition's lease reads as the one consumer `writer`. */
export const JOURNAL_GROUP = 'journal';
export const JOURNAL_CONSUMER = 'writer';

/** Who writes the journals of a partition now: a worker's name, with an expiry. */
export function leaseKey(partition: number): string {
  return `indelible:{journal:${partition}}:lease`;
}
/** Hash: the run_id of the Redis that was last seen to keep this partition's lease, and since when, by its clock. */
export function leaseGuardKey(partition: number): string {
  return `indelible:{journal:${partition}}:lease-guard`;
}
/** Id of the newest stream entry up to which all is committed. */
export function committedKey(partition: number): string {
  return `indelible:{journal:${partition}}:committed`;
}
/** Hash of entry ids that were delivered too often, to how often each was then tried by itself. */
export function suspectsKey(partition: number): string {
  return `indelible:{journal:${partition}}:suspects`;
}

/** What could not be processed, with its reason. */
export const DEAD_LETTERS = 'indelible:dead-letters';
/** Sorted set of live workers, scored by when their sign of life runs out: milliseconds of the clock of Redis. */
export const WORKERS = 'indelible:workers';
/** How many partitions there are: decided by the first process, the same for all. */
export const PARTITIONS = 'indelible:partitions';
/** The answer to an append that waits for its commit, and the channel that tells a web process of it. */
export function replyKey(requestId: string): string {
  return `indelible:reply:${requestId}`;
}
export function replyChannel(webId: string): string {
  return `indelible:replies:${webId}`;
}
/** Set once a source has its verdict: the early check before a model is asked. */
export function judgedKey(workspace: string, verdictId: string): string {
  return `indelible:judged:${workspace}:${verdictId}`;
}
/** Held by the reclaimer that works just now: its token, with an expiry. */
export const RECLAIMER_LOCK = 'indelible:reclaimer';
