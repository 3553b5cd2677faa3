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
