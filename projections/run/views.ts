import { PROJECTIONS } from '../catalogue.ts';
import { type Projection, viewSql } from '../definition.ts';
import { rowsRelation } from './content.ts';
import type { ProjectionTable } from './projection-table.ts';
import type { ProjectionRunner } from './runner.ts';
import type { Storage } from './storage.ts';

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
  const held: HeldViews[] = [];
  const release = () => {
    for (const each of held) each.release();
  };
  const text = query.toLowerCase();
  const named = PROJECTIONS.filter(({ name }) => text.includes(name));
  // A workspace that holds nothing yet has no tables either.
  const isEmpty = !runner.journals.has(workspace);
  try {
    for (const projection of named) {
      if (isEmpty) held.push({ views: [freshView(projection)], release: () => {} });
      else held.push(await viewOf(runner.journals.storage.cache, runner.table(workspace, projection.name)));
    }
    return { views: held.flatMap(({ views }) => views), release };
  } catch (error) {
    release();
    throw error;
  }
}

function freshView(projection: Projection): ProjectionView {
  return { name: projection.name, files: [], sql: () => viewSql(projection, undefined, 'journal') };
}

async function viewOf(cache: Storage['cache'], table: ProjectionTable): Promise<HeldViews> {
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
