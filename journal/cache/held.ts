/** An immutable object of the store that somebody wants to read as a local file. */
export type HoldableFile = { key: string; sizeBytes: number };

/** Local files that stay until they are let go of. */
export type HeldFiles = {
  /** In the order in which they were asked for. */
  readonly paths: readonly string[];
  /** A second call does nothing. */
  release(): void;
};

/** The segment cache, or a snapshot over it. */
export interface FileHolder {
  /** @throws unavailable where the store is away; corrupt where an object is gone or is not what was written. */
  hold(files: readonly HoldableFile[]): Promise<HeldFiles>;
}

/** Runs `work` over the local paths of the files and lets go of them, however it ends. */
export async function withHeld<T>(
  holder: FileHolder,
  files: readonly HoldableFile[],
  work: (paths: readonly string[]) => Promise<T>,
): Promise<T> {
  const held = await holder.hold(files);
  try {
    return await work(held.paths);
  } finally {
    held.release();
  }
}
