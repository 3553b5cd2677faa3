import { Buffer } from 'node:buffer';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Engine } from './duckdb/index.ts';
import { IndelibleError } from './errors.ts';
import type { Random } from './ports.ts';
import { isCode, makeDirDurable, writeFileDurable } from './store/index.ts';
import { uuidV4 } from './uuid.ts';

/** A process's own directory: the write-ahead log, the lock, its name, and files that may be lost. */
export type DataDir = {
  engine: Engine;
  walDir: string;
  /** Emptied at every start. */
  tempDir: string;
  /** Names this directory among those that may write to a store. */
  writerId: string;
};

export type DataDirOptions = {
  dataDir: string;
  random: Random;
  engineMemoryBytes: number;
  engineThreads: number;
};

/**
 * Opens the directory, or makes it. The lock is DuckDB's own on `lock.duckdb`, which the kernel frees when the process
 * ends, however it ends.
 * @throws fenced where another process has it open.
 */
export async function openDataDir(options: DataDirOptions): Promise<DataDir> {
  const { dataDir, random } = options;
  const walDir = join(dataDir, 'wal');
  const tempDir = join(dataDir, 'tmp');
  await makeDirDurable(walDir);
  const engine = await Engine.open({
    path: join(dataDir, 'lock.duckdb'),
    tempDir: join(tempDir, 'duckdb'),
    memoryLimitBytes: options.engineMemoryBytes,
    threads: options.engineThreads,
    concurrency: 2,
  }).catch((cause: unknown) => {
    const message = (cause as Error).message;
    if (!message.includes('Could not set lock')) throw cause;
    const pid = /PID (\d+)/.exec(message)?.[1];
    const who = pid ? `process ${pid}` : 'another process';
    throw new IndelibleError(
      'fenced',
      `the data directory ${dataDir} is in use by ${who}: stop it, or choose another directory`,
    );
  });
  // A worker of a killed process may write to it for a moment more.
  await rm(tempDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 });
  await mkdir(join(tempDir, 'duckdb'), { recursive: true });
  await mkdir(join(tempDir, 'tail'), { recursive: true });
  return { engine, walDir, tempDir, writerId: await writerIdOf(dataDir, random) };
}

async function writerIdOf(dataDir: string, random: Random): Promise<string> {
  const path = join(dataDir, 'writer-id');
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
  const writerId = uuidV4(random);
  await writeFileDurable(path, Buffer.from(`${writerId}\n`));
  return writerId;
}
