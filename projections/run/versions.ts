import type { ObjectStore, TableLayout } from '../../journal/index.ts';
import { type Projection, tableColumns } from '../definition.ts';

/** Below the workspace. Names that begin with `_` are passed over by whoever reads the journal's own table. */
function projectionDir(name: string): string {
  return `_projections/${name}/`;
}

export function versionDir(name: string, version: number): string {
  return `${projectionDir(name)}v${String(version).padStart(6, '0')}/`;
}

/** The table of one version of a projection. */
export function layoutOf(projection: Projection, version: number): TableLayout {
  return {
    dir: versionDir(projection.name, version),
    // By position: columns are only ever added, at the end.
    schema: tableColumns(projection).map((column, index) => ({ ...column, fieldId: index + 1 })),
    bounds: { seq: 'long', ...projection.bounds },
    isGapFree: false,
    // Partial sums are added up when files are merged: those are other rows.
    isAppendOnly: projection.combine.kind === 'unique',
  };
}

/** A version that has objects in the store. */
export type StoredVersion = {
  version: number;
  /** It has a table log: it was committed. Otherwise it is being made, or never was finished. */
  isCommitted: boolean;
  /** Of its oldest entry of the log; without one, of its first file. */
  modifiedMs: number;
};

/** The versions of a projection, ascending. One request for each: their many files are jumped over. */
export async function storedVersions(store: ObjectStore, workspace: string, name: string): Promise<StoredVersion[]> {
  const prefix = `${workspace}/${projectionDir(name)}`;
  const versions: StoredVersion[] = [];
  for (let after = prefix; ; ) {
    const first = await firstOf(store, prefix, after);
    if (!first) return versions;
    const version = Number(/^v(\d{6})\//.exec(first.key.slice(prefix.length))?.[1] ?? Number.NaN);
    // `_delta_log` comes before `data`.
    const isCommitted = first.key.includes('/_delta_log/');
    if (Number.isInteger(version)) versions.push({ version, isCommitted, modifiedMs: first.modifiedMs });
    after = `${first.key.slice(0, first.key.indexOf('/', prefix.length))}/~`;
  }
}

async function firstOf(store: ObjectStore, prefix: string, after: string) {
  for await (const object of store.list(prefix, after)) return object;
  return undefined;
}

/** The newest version that has a table log; 0: there is none. */
export function currentOf(versions: readonly StoredVersion[]): number {
  return versions.findLast(({ isCommitted }) => isCommitted)?.version ?? 0;
}
