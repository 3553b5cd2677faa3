import { z } from '@hono/zod-openapi';
import { invalid, LIMITS, type Snapshot, type SnapshotFiles, snapshotFiles } from '../../journal/index.ts';
import { projectionViews } from '../../projections/index.ts';
import { runExport, runSql, verifySnapshot } from '../../queries/index.ts';
import { readJson } from './json-body.ts';
import { EdgeError } from './problem.ts';
import type { RequestLog } from './request-log.ts';
import { type App, type Asked, addRoute, parseBody } from './route.ts';
import { FILTER_SHAPE, jsonAnswer, MORE_FILTERS } from './schemas.ts';
import type { Services } from './services.ts';
import { streamLimits, workerLimits } from './worker-limits.ts';
import { goneSignal, sendStream, sendWhenDone } from './stream-out.ts';
import { withSnapshot } from './workspace-view.ts';

/** A reader that takes nothing for so long loses its answer. */
const STALL_MS = 120_000;
/** Until the first byte of an export, and for a whole verification: neither is a caller's to shape. */
const EXPORT_TIME_MS = 30 * 60_000;
const VERIFY_TIME_MS = 6 * 60 * 60_000;

const SQL_CHARS_MAX = 100_000;
const SQL_PARAMS_MAX = 1_000;

const MEDIA = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv; charset=utf-8',
  arrow: 'application/vnd.apache.arrow.stream',
  parquet: 'application/vnd.apache.parquet',
} as const;

const SqlBody = z
  .strictObject({
    sql: z.string().min(1, 'is empty').max(SQL_CHARS_MAX, `is longer than ${SQL_CHARS_MAX} characters`),
    params: z
      .array(z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .max(SQL_PARAMS_MAX)
      .default([])
      .openapi({ description: 'For ? or $1 in the SQL.' }),
  })
  .openapi('Query', {
    example: { sql: 'SELECT actor, count(*) AS n FROM journal GROUP BY ALL ORDER BY n DESC LIMIT ?', params: [10] },
  });

const BINARY = { schema: z.string().openapi({ format: 'binary' }) };

/** SQL, export and verification: each in a process of its own. */
export function addQueryRoutes(app: App, services: Services, requestLog: RequestLog): void {
  addSqlRoute(app, services, requestLog);
  addExportRoute(app, services, requestLog);
  addVerifyRoute(app, services, requestLog);
}

/** The files of one snapshot, held while the worker reads them. The connection may be silent meanwhile. */
async function overFiles<T>(
  services: Services,
  asked: Asked<unknown>,
  work: (files: SnapshotFiles, snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  asked.c.env.incoming.socket.setTimeout(0);
  return withSnapshot(services, asked.workspace, async (snapshot) => work(await snapshotFiles(snapshot), snapshot));
}

function addSqlRoute(app: App, services: Services, requestLog: RequestLog): void {
  addRoute(app, services, {
    method: 'post',
    path: '/journal/query',
    summary: 'SQL over the journal',
    description:
      'One SELECT over the views `journal` (the columns of an event), `compliance_events` and `activity_daily` of this workspace, all as fresh as the last durable event, in a confined process with limits of memory, time and rows. JSON, NDJSON, CSV or an Arrow stream by Accept.',
    scoped: true,
    reads: true,
    query: z.object({}),
    body: { required: true, content: { 'application/json': { schema: SqlBody } } },
    responses: {
      200: {
        description: 'The rows; truncated (JSON) and the X-Truncated header say that the row limit cut them',
        content: {
          'application/json': {
            schema: z.object({
              columns: z.array(z.object({ name: z.string(), type: z.string() })),
              rows: z.array(z.array(z.any())),
              row_count: z.int(),
              truncated: z.boolean(),
              snapshot: z.object({ committed_seq: z.int(), durable_seq: z.int() }),
            }),
          },
          'application/x-ndjson': BINARY,
          'text/csv': BINARY,
          'application/vnd.apache.arrow.stream': BINARY,
        },
      },
    },
    async handle(asked) {
      const { c, requestId } = asked;
      const format = sqlFormat(c.req.header('Accept'));
      const { sql, params } = parseBody(SqlBody, await jsonOf(asked));
      const { queryTimeoutMs, queryRowsMax } = services.config;
      const startedMs = performance.now();
      const { views, release } = await projectionViews(services.projections, asked.workspace, sql);
      const answered = overFiles(services, asked, async (files) => {
        const limits = workerLimits(services, queryTimeoutMs, STALL_MS);
        const signal = goneSignal(c);
        const question = { sql, params, views, format, rowsMax: queryRowsMax, limits, signal };
        const run = await runSql(services.pool, files, { ...question, trust: asked.principal.role });
        services.metrics.queryDone('sql', performance.now() - startedMs);
        const headers = {
          'Content-Type': MEDIA[format],
          'X-Row-Count': String(run.meta.rows),
          'X-Truncated': String(run.meta.truncated),
        };
        return sendStream(c, headers, run.body, (error) => requestLog.problem(error, requestId));
      });
      return answered.finally(release);
    },
  });
}

async function jsonOf(asked: Asked<unknown>): Promise<unknown> {
  const { c } = asked;
  const type = (c.req.header('Content-Type') ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw new EdgeError('unsupported-media-type', 'send application/json: {"sql": "…"}');
  return readJson(asked, LIMITS.valueBytesMax);
}

type SqlFormat = 'json' | 'ndjson' | 'csv' | 'arrow';
const ACCEPTED: Record<string, SqlFormat> = {
  '*/*': 'json',
  'application/*': 'json',
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'text/csv': 'csv',
  'text/*': 'csv',
  'application/vnd.apache.arrow.stream': 'arrow',
};

/** The first known type of Accept, by weight. */
function sqlFormat(accept: string | undefined): SqlFormat {
  if (accept === undefined || accept.trim() === '') return 'json';
  const wanted = accept.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) };
  });
  const best = wanted.filter(({ weight }) => weight > 0).sort((left, right) => right.weight - left.weight);
  for (const { type } of best) {
    const format = Object.hasOwn(ACCEPTED, type) ? ACCEPTED[type] : undefined;
    if (format !== undefined) return format;
  }
  throw new EdgeError('not-acceptable', `answers are ${Object.values(MEDIA).slice(0, 4).join(', ')}`);
}

function addExportRoute(app: App, services: Services, requestLog: RequestLog): void {
  addRoute(app, services, {
    method: 'get',
    path: '/journal/export',
    summary: 'All events, or those that match, as a file',
    description:
      'In order of seq, with event_hash and prev_hash, streamed. A transfer that fails is broken off, never cleanly ended. The spreadsheet profile of CSV adds a byte order mark and disarms formulas; raw alters nothing.',
    scoped: true,
    query: z.object({
      format: z.enum(['csv', 'ndjson', 'parquet', 'arrow']).default('csv'),
      profile: z.enum(['raw', 'spreadsheet']).default('raw'),
      ...FILTER_SHAPE,
      ...MORE_FILTERS,
    }),
    responses: {
      200: {
        description: 'The file',
        content: { 'text/csv': BINARY, 'application/x-ndjson': BINARY, [MEDIA.parquet]: BINARY, [MEDIA.arrow]: BINARY },
      },
    },
    async handle(asked) {
      const { c, query, workspace, requestId } = asked;
      const { format, profile, type, entity_id, correlation_id, field, action, actor, source, from, to } = query;
      if (profile === 'spreadsheet' && format !== 'csv') {
        throw invalid([{ pointer: '/profile', message: 'goes with format=csv only' }]);
      }
      const same = { field, action, actor, source, from, to };
      const filter = { ...same, entityType: type, entityId: entity_id, correlationId: correlation_id };
      const startedMs = performance.now();
      return overFiles(services, asked, async (files, snapshot) => {
        const run = await runExport(services.pool, files, {
          format,
          profile,
          filter,
          limits: streamLimits(services, snapshot, EXPORT_TIME_MS, STALL_MS),
          signal: goneSignal(c),
        });
        const day = new Date(services.clock.nowMs()).toISOString().slice(0, 10);
        const name = `${workspace}-journal-${day}.${format}`;
        const headers = {
          'Content-Type': MEDIA[format],
          'Content-Disposition': `attachment; filename="${name}"; filename*=UTF-8''${encodeURIComponent(name)}`,
          'X-Row-Count': String(run.meta.rows),
        };
        const response = await sendStream(c, headers, run.body, (error) => requestLog.problem(error, requestId));
        services.metrics.queryDone('export', performance.now() - startedMs);
        return response;
      });
    },
  });
}

function addVerifyRoute(app: App, services: Services, requestLog: RequestLog): void {
  addRoute(app, services, {
    method: 'get',
    path: '/journal/verify',
    summary: 'Recompute every hash and link of the journal',
    scoped: true,
    query: z.object({}),
    responses: {
      200: jsonAnswer(
        z
          .object({
            valid: z.boolean(),
            events: z.int(),
            head_hash: z.string(),
            first_seq: z.int().nullable(),
            last_seq: z.int().nullable(),
            first_bad: z.object({ seq: z.int(), reason: z.string() }).optional(),
          })
          .openapi('Verification'),
        'Valid, or the first seq that fails and why',
      ),
    },
    async handle(asked) {
      const startedMs = performance.now();
      const verification = overFiles(services, asked, (files, snapshot) =>
        verifySnapshot(services.pool, files, {
          limits: streamLimits(services, snapshot, VERIFY_TIME_MS, STALL_MS),
          signal: goneSignal(asked.c),
        }),
      );
      const response = await sendWhenDone(asked.c, verification, (error) => requestLog.problem(error, asked.requestId));
      services.metrics.queryDone('verify', performance.now() - startedMs);
      return response;
    },
  });
}
