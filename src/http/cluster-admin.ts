/** Of the dead letter, and of the entry that it was. Times are RFC 3339. */
export type DeadLetterView = {
  id: string;
  dead_at: string;
  stream: string;
  entry_id: string;
  workspace: string | null;
  kind: 'malformed' | 'poison' | 'conflict' | 'refused';
  reason: string;
  deliveries: number;
  bytes: number;
};

/** `fields`: of the entry that it was; bytes that are no UTF-8 are told as base64. */
export type DeadLetterContent = DeadLetterView & { fields: Record<string, { text: string } | { base64: string }> };

export type StreamView = {
  name: string;
  length: number;
  /** `lag`: entries that were not delivered yet; null where Redis does not know. */
  groups: { name: string; consumers: number; pending: number; lag: number | null; last_delivered_id: string }[];
};

export type StreamsView = {
  /** `pressure_level`: 0 normal, 1 smaller reads, 2 low priority waits, 3 nothing is taken. */
  pressure_level: 0 | 1 | 2 | 3;
  dead_letters: number;
  streams: StreamView[];
};

/** Operating a cluster: what its streams hold, and what could not be processed. Each throws unavailable, too. */
export interface ClusterAdmin {
  /** Oldest first. */
  deadLetters(page: { cursor: string | undefined; limit: number }): Promise<{
    dead_letters: DeadLetterView[];
    next_cursor: string | null;
  }>;
  /** @throws IndelibleError not-found */
  deadLetter(id: string): Promise<DeadLetterContent>;
  /** Adds it to its stream again, and removes the letter. @throws IndelibleError not-found */
  replayDeadLetter(id: string): Promise<{ stream: string; entry_id: string }>;
  /** @throws IndelibleError not-found */
  discardDeadLetter(id: string, reason: string): Promise<void>;
  streams(): Promise<StreamsView>;
  /** Makes the group, or moves it. @throws IndelibleError not-found: no such stream; invalid; conflict */
  replay(name: string, request: { group: string; from: string }): Promise<{ entries: number; created: boolean }>;
}
