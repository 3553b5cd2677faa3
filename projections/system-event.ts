import type { JournalEvent } from '../journal/index.ts';

/** The part of an event of `_system` that its projections read. */
export type SystemEvent = Pick<
  JournalEvent,
  'seq' | 'entity_type' | 'entity_id' | 'action' | 'new_value' | 'actor' | 'recorded_at'
>;
