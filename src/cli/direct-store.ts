import type { Compaction } from '../client/index.ts';
import type { Io, StoreOptions } from './context.ts';
import type { DirectStore } from './direct.ts';

/** Reads the store of --store. The journal brings DuckDB along; commands that talk to a service need none of it. */
export async function directStore<T>(
  io: Io,
  options: StoreOptions,
  work: (store: DirectStore) => Promise<T>,
): Promise<T> {
  const { withDirectStore } = await import('./direct.ts');
  return withDirectStore(io, options, work);
}

/** Compacts a journal of the store of --store. `onProgress` gets a line for each merge. */
export async function compactDirectly(
  io: Io,
  options: StoreOptions,
  onProgress: (line: string) => void,
): Promise<Compaction> {
  const { compactDirectStore } = await import('./direct-compact.ts');
  return compactDirectStore(io, options, onProgress);
}
