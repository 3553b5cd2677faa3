import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll } from 'vitest';
import { WorkerPool, type WorkerPoolOptions } from '../../../queries/worker/index.ts';

export const LIMITS = {
  timeMs: 60_000,
  stallMs: 60_000,
  memoryBytes: 192 * 1024 * 1024,
  tempBytes: 512 * 1024 * 1024,
  threads: 2,
};

export type Harness = { dir: string; pool: WorkerPool; connection: DuckDBConnection };

/** A directory, a pool of real worker processes and a DuckDB for making files, for the tests of one file. */
export function useHarness(options: Partial<WorkerPoolOptions> = {}): Harness {
  const harness = {} as Harness;
  beforeAll(async () => {
    harness.dir = mkdtempSync(join(tmpdir(), 'indelible-worker-test-'));
    const tempDir = join(harness.dir, 'workers');
    mkdirSync(tempDir);
    harness.pool = await WorkerPool.open({ tempDir, concurrency: 2, waitingMax: 8, ...options });
    harness.connection = await (await DuckDBInstance.create(':memory:')).connect();
    await harness.connection.run("SET TimeZone = 'UTC'");
  });
  afterAll(async () => {
    await harness.pool.close();
    rmSync(harness.dir, { recursive: true, force: true });
  });
  return harness;
}

export async function bytesOf(run: { body: ReadableStream<Uint8Array> }): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of run.body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The whole body as text, a byte order mark included. */
export async function textOf(run: { body: ReadableStream<Uint8Array> }): Promise<string> {
  return (await bytesOf(run)).toString('utf8');
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when the condition holds; the test's own time limit is the bound. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
