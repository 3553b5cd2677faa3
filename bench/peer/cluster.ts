/**
 * A private PostgreSQL cluster for one benchmark run: initdb into a temporary directory, every setting at its default
 * (fsync, synchronous_commit and full_page_writes on) apart from where it listens. Locale C, the fastest for text keys.
 */
import { chownSync, mkdirSync, readdirSync, readFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { run, start, waitFor, type Child } from '../harness/children.ts';

const DEBIAN_ROOT = '/usr/lib/postgresql';

export interface Cluster {
  readonly child: Child;
  readonly version: string;
  /** Connection settings for `pg` and, as environment, for psql. */
  readonly connection: { host: string; port: number; user: string; database: string };
  readonly psql: string;
  query<T extends pg.QueryResultRow>(sql: string): Promise<T[]>;
}

function binaries(): string {
  if (!existsSync(DEBIAN_ROOT)) throw new Error('PostgreSQL is missing: run bench/setup.sh');
  const newest = readdirSync(DEBIAN_ROOT).sort((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) throw new Error('PostgreSQL is missing: run bench/setup.sh');
  return join(DEBIAN_ROOT, newest, 'bin');
}

/** PostgreSQL refuses to run as root; then it runs as the postgres user that its package made. */
function account(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'));
  if (!line) throw new Error('running as root needs a postgres user: run bench/setup.sh');
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

/** Starts a new cluster in `parent`/postgres and creates the audit table. */
export async function startCluster(parent: string, port: number): Promise<Cluster> {
  const bin = binaries();
  const owner = account();
  const home = join(parent, 'postgres');
  const data = join(home, 'data');
  mkdirSync(home, { recursive: true });
  if (owner.uid !== undefined && owner.gid !== undefined) chownSync(home, owner.uid, owner.gid);
  await run(join(bin, 'initdb'), ['-D', data, '-A', 'trust', '-U', 'bench', '--no-locale', '-E', 'UTF8'], {
    ...owner,
    cwd: home,
  });
  // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
  const args = ['-D', data, '-p', String(port), '-c', 'listen_addresses=', '-c', `unix_socket_directories=${home}`];
  const child = start(join(bin, 'postgres'), args, {
    ...owner,
    cwd: home,
    stopSignal: 'SIGINT',
    logPath: join(parent, 'postgres.log'),
  });
  const connection = { host: home, port, user: 'bench', database: 'postgres' };
  await waitFor(child, 'PostgreSQL', async () => (await ask(connection, 'select 1')).length === 1);
  await ask(connection, readFileSync(new URL('schema.sql', import.meta.url), 'utf8'));
  const [row] = await ask<{ server_version: string }>(connection, 'show server_version');
  return {
    child,
    version: row?.server_version ?? '',
    connection,
    psql: join(bin, 'psql'),
    query: (sql) => ask(connection, sql),
  };
}

async function ask<T extends pg.QueryResultRow>(connection: Cluster['connection'], sql: string): Promise<T[]> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}
