import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactStore, storedWorkspaces } from '../../journal/index.ts';
import type { Compaction } from '../client/index.ts';
import { systemClock, systemRandom } from '../system.ts';
import { threadsFor } from '../threads.ts';
import type { Io, StoreOptions } from './context.ts';
import { locateStore, onlyWorkspace } from './direct.ts';
import { bytesText, groupedNumber } from './text.ts';

/** Compacts a journal of the store of `--store`; a service that writes to it goes on. */
export async function compactDirectStore(
  io: Io,
  options: StoreOptions,
  onProgress: (line: string) => void,
): Promise<Compaction> {
  const { config, objects: store } = await locateStore(io, options);
  const tempDir = await mkdtemp(join(tmpdir(), 'indelible-'));
  try {
    return await compactStore({
      store,
      workspace: options.workspace ?? onlyWorkspace(await storedWorkspaces(store)),
      clock: systemClock,
      random: systemRandom,
      tempDir,
      memoryLimitBytes: config.queryMemoryBytes,
      threads: threadsFor(config.queryMemoryBytes, availableParallelism()),
      cacheBytesMax: config.cacheBytesMax,
      graceMs: config.compactionGraceMs,
      observer: {
        merged: ({ events, filesBefore, filesAfter, bytes }) =>
          onProgress(
            `merged ${groupedNumber(events)} events: ${filesBefore} files → ${filesAfter}, ${bytesText(bytes)}`,
          ),
      },
      signal: io.signal,
    });
  } finally {
    await rm(tempDir, { recursive: true, force: true });
  }
}
