import { rmSync } from 'node:fs';
import type { DuckDBConnection } from '@duckdb/node-api';
import { snapshotSql } from '../../journal/index.ts';
import { identifier } from './columns.ts';
import {
  allowDirectory,
  confineDatabase,
  type Database,
  keepFooters,
  limitDatabase,
  lockDatabase,
  openDatabase,
} from './database.ts';
import { fillDirectory, symlinkAll } from './link-files.ts';
import { TAIL_DIR } from './links.ts';
import type { Link, SqlJob, WorkerLimits } from './protocol.ts';

/** A query's result. Unlikely as a user's name; a view of that name would be shadowed. */
export const ANSWER = 'indelible_answer';

/**
 * The database of one workspace, kept from query to query: to open it and to read the footers of many segments is
 * dearer than most questions. Each query has a connection of its own, and with it its own temporary tables, variables
 * and prepared statements. Other segments need another database, for what it may open is settled once; another tail does
 * not.
 */
export class SqlSession {
  /** The first is opened before there is a job. */
  #opening: Promise<Database>;
  #links: readonly Link[] | undefined;
  #fixed = '';
  #views = '';

  constructor() {
    this.#opening = openDatabase();
  }

  /** What the first job, which need not be a query, finds ready. */
  get database(): Promise<Database> {
    return this.#opening;
  }

  /** A connection for one query, to be given back after it. The settings are locked and the views are there. */
  async connect(job: SqlJob, links: readonly Link[], limits: WorkerLimits): Promise<DuckDBConnection> {
    const tail = links.filter(({ name }) => name.startsWith(`${TAIL_DIR}/`));
    const fixed = links.filter((link) => !tail.includes(link));
    await this.#openOver(fixed, job, limits, tail.length > 0);
    // Also under the same names: a name may come back with other bytes.
    fillDirectory(TAIL_DIR, tail);
    const { instance } = await this.#opening;
    const connection = await instance.connect();
    await this.#makeViews(connection, job);
    return connection;
  }

  /** The answer goes first: results that JavaScript still holds would keep the connection's memory. */
  async leave(connection: DuckDBConnection): Promise<void> {
    await connection.run(`DROP TABLE IF EXISTS temp.${ANSWER}`);
    connection.closeSync();
  }

  async #openOver(links: readonly Link[], job: SqlJob, limits: WorkerLimits, readsTail: boolean): Promise<void> {
    const fixed = JSON.stringify([readsTail, links, job.views.map(({ name }) => name)]);
    if (fixed === this.#fixed) return;
    if (this.#links !== undefined) await this.#renew(this.#links);
    this.#links = links;
    symlinkAll(links);
    fillDirectory(TAIL_DIR, []);
    const { connection } = await this.#opening;
    await limitDatabase(connection, limits, readsTail);
    await keepFooters(connection);
    await allowDirectory(connection, TAIL_DIR);
    await confineDatabase(
      connection,
      links.map(({ name }) => name),
    );
    await lockDatabase(connection);
    this.#fixed = fixed;
  }

  async #renew(links: readonly Link[]): Promise<void> {
    const { instance, connection } = await this.#opening;
    connection.closeSync();
    instance.closeSync();
    for (const { name } of links) rmSync(name);
    this.#views = '';
    this.#opening = openDatabase();
    await this.#opening;
  }

  async #makeViews(connection: DuckDBConnection, { files, views }: SqlJob): Promise<void> {
    const made = JSON.stringify([files, views]);
    if (made === this.#views) return;
    await connection.run(`CREATE OR REPLACE VIEW journal AS ${snapshotSql(files)}`);
    for (const view of views) {
      await connection.run(`CREATE OR REPLACE VIEW ${identifier(view.name)} AS ${view.sql}`);
    }
    this.#views = made;
  }
}
