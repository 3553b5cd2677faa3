import type { ReadOnlyStore, SegmentCache } from '../../journal/index.ts';
import { PROJECTIONS } from '../catalogue.ts';
import { type Projection, viewSql } from '../definition.ts';
import { rowsRelation } from './content.ts';
import { ProjectionTable } from './projection-table.ts';
import type { ProjectionRunner } from './runner.ts';
import { storageOf } from './storage.ts';

/** A projection as a relation beside `journal`, over local files. */
export type ProjectionView = {
  name: string;
  files: string[];
  /** Its SELECT, over the files under the names they have for the query; it reads the view `journal` too. */
  sql(names: readonly string[]): string;
};

/** Views whose files stay until `release()`, which is called once. */
export type HeldViews = { views: ProjectionView[]; release(): void };

/**
 * The projections of a workspace that a query's text names: what the tables hold, and what the events after their
 * positions give, as the query's own snapshot has them. To be taken before that snapshot, so that the tables are never
 * ahead of it. A query of the journal alone has nothing to do with them.
 * @throws unavailable where the store fails
 */
export async function projectionViews(runner: ProjectionRunner, workspace: string, query: string): Promise<HeldViews> {
  const named = namedIn(query);
  // A workspace that holds nothing yet has no tables either.
  if (!runner.journals.has(workspace)) return { views: named.map(freshView), release: () => {} };
  const { cache } = runner.journals.storage;
  return holdAll(
    cache,
    named.map(({ name }) => runner.table(workspace, name)),
  );
}

/** The same over a store that nobody here writes to. Its tables may be a few events ahead of a snapshot taken before. */
export function storedViews(store: ReadOnlyStore, workspace: string, query: string): Promise<HeldViews> {
  const storage = storageOf(store);
  const tables = namedIn(query).map(
    (projection) => new ProjectionTable({ storage, workspace, projection, graceMs: 0, isShared: false }),
  );
  return holdAll(storage.cache, tables);
}

function namedIn(query: string): Projection[] {
  const text = query.toLowerCase();
  return PROJECTIONS.filter(({ name }) => text.includes(name));
}

async function holdAll(cache: SegmentCache, tables: readonly ProjectionTable[]): Promise<HeldViews> {
  const held: HeldViews[] = [];
  const release = () => {
    for (const each of held) each.release();
  };
  try {
    for (const table of tables) held.push(await viewOf(cache, table));
    return { views: held.flatMap(({ views }) => views), release };
  } catch (error) {
    release();
    throw error;
  }
}

function freshView(projection: Projection): ProjectionView {
  return { name: projection.name, files: [], sql: () => viewSql(projection, undefined, 'journal') };
}

async function viewOf(cache: SegmentCache, table: ProjectionTable): Promise<HeldViews> {
  const { projection } = table;
  const view = await table.view();
  try {
    const { paths, release } = await cache.hold(view.files);
    const newer = `(SELECT * FROM journal WHERE seq > ${view.position})`;
    const sql = (names: readonly string[]) => viewSql(projection, rowsRelation(projection, names), newer);
    return {
      views: [{ name: projection.name, files: [...paths], sql }],
      release: () => {
        release();
        view.release();
      },
    };
  } catch (error) {
    view.release();
    throw error;
  }
}
