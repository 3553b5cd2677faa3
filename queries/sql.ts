import { invalid, type SnapshotFiles } from '../journal/index.ts';
import {
  linked,
  type SqlFormat,
  type SqlParam,
  type WorkerLimits,
  type WorkerPool,
  type WorkerRun,
} from './worker/index.ts';

/** A named relation beside `journal`, over files of its own. */
export type SqlView = {
  name: string;
  files: string[];
  /** Its SELECT, over the files under the names they have for the query, in the order of `files`. */
  sql(names: readonly string[]): string;
};

export type SqlRequest = {
  /** One SELECT over the view `journal` and the views below. */
  sql: string;
  /** Bound by position: `?` or `$1`. Numbers, strings, booleans, null. */
  params?: readonly unknown[];
  format: SqlFormat;
  views?: readonly SqlView[];
  rowsMax: number;
  limits: WorkerLimits;
  /** Callers with different ones never share a process, for instance the role of a key. */
  trust?: string;
  signal?: AbortSignal;
};

/**
 * Runs a user's SELECT over one snapshot, in a process that can read nothing else and write nothing.
 *
 * `meta` {columns, rows, truncated} is known before the first byte: the result is complete by then, cut at `rowsMax`
 * rows. json: `{"columns":[{"name","type"}],"rows":[[…]],"row_count","truncated","snapshot":{"committed_seq",
 * "durable_seq"}}`; ndjson: an object a row; csv: RFC 4180; arrow: an IPC stream. In JSON, numbers that a double
 * would round are strings, BLOBs hex, timestamps RFC 3339 in UTC with microseconds.
 * @throws IndelibleError invalid (/sql, /params), timeout, too-large (memory or spill), busy
 */
export async function runSql(pool: WorkerPool, files: SnapshotFiles, request: SqlRequest): Promise<WorkerRun<'sql'>> {
  const { sql, format, rowsMax, limits, trust = '', signal } = request;
  const params = checkedParams(request.params ?? []);
  const snapshot = linked(files);
  const links = [...snapshot.links];
  const views = (request.views ?? []).map((view) => {
    const names = view.files.map((target, index) => {
      const link = { name: `views/${view.name}-${index}${extension(target)}`, target };
      links.push(link);
      return link.name;
    });
    return { name: view.name, sql: view.sql(names) };
  });
  const job = { kind: 'sql' as const, trust, files: snapshot.files, views, sql, params, format, rowsMax };
  return pool.run<'sql'>(job, { limits, links, signal });
}

function checkedParams(params: readonly unknown[]): SqlParam[] {
  return params.map((value, index) => {
    const pointer = `/params/${index}`;
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return value;
    if (typeof value !== 'string')
      throw invalid([{ pointer, message: 'must be a string, a number, a boolean or null' }]);
    if (!value.isWellFormed() || value.includes('\0'))
      throw invalid([{ pointer, message: 'must be valid Unicode text without NUL' }]);
    return value;
  });
}

function extension(path: string): string {
  return /\.[a-z]+$/.exec(path)?.[0] ?? '';
}
