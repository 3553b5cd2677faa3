/** What one version of a projection holds. */
export type VersionContent = {
  version: number;
  rows: number;
  /** Highest seq of its rows; -1: it has none. */
  last_seq: number;
  /** 32 hex digits: the sum modulo 2^128 of the first 16 bytes of SHA-256 of each row's text (docs/format.md). */
  content_hash: string;
};

/** What a rebuild proves: that both versions hold the same at the position they share, or where they differ. */
export type Certificate = {
  projection: string;
  workspace: string;
  /** Positions that were read again: first_seq … position. first_seq above 0: retention removed the events before. */
  first_seq: number;
  position: number;
  /** Rows of removed events: they cannot be made again, and were copied from the old version as they are. */
  carried_rows: number;
  old: VersionContent;
  new: VersionContent;
  agreed: boolean;
  /** The new version took the place of the old although they differ. */
  forced: boolean;
  /** Positions of the first rows that only one of them holds. */
  differing_seqs: number[];
  made_at: string;
  by: string;
};
