import type { Journal } from './journal.ts';
import { mergeableFiles } from './journal-compaction.ts';

export type JournalStats = {
  buffered_events: number;
  flush_threshold: number;
  persisted_files: number;
  persisted_bytes: number;
  /** Waiting for compaction. */
  mergeable_files: number;
  /** In the journal now: without those that retention removed. */
  total_events: number;
  /** Of the oldest event that was not removed; the next position where there is none. */
  first_seq: number;
  committed_seq: number;
  durable_seq: number;
  head_hash: string;
  /** Of the whole process: what is not sealed yet. */
  wal_bytes: number;
  wal_bytes_max: number;
  last_sealed_at: string | null;
};

type ProcessStats = Pick<JournalStats, 'flush_threshold' | 'wal_bytes' | 'wal_bytes_max' | 'last_sealed_at'>;

/** The figures of one journal, with those of the process that it lives in. */
export function journalStats(journal: Journal, ofProcess: ProcessStats): JournalStats {
  return {
    buffered_events: journal.durableHead.seq - journal.committedHead.seq,
    persisted_files: journal.files.length,
    persisted_bytes: journal.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    mergeable_files: mergeableFiles(journal),
    total_events: journal.durableHead.seq + 1 - journal.start.firstSeq,
    first_seq: journal.start.firstSeq,
    committed_seq: journal.committedHead.seq,
    durable_seq: journal.durableHead.seq,
    head_hash: journal.durableHead.hash,
    ...ofProcess,
  };
}
