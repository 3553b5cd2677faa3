import { z } from '@hono/zod-openapi';
import { EVENT_FIELDS, LIMITS } from '../../journal/index.ts';
import { decodeCursor, type EntityStateAnswer, encodeCursor, history, stateAt } from '../../queries/index.ts';
import { pageResponse } from './page.ts';
import { type App, addRoute, decodedId, targetPath } from './route.ts';
import {
  CursorParam,
  countParam,
  EventPageAnswer,
  FILTER_SHAPE,
  jsonAnswer,
  SeqParam,
  TimeParam,
  textParam,
} from './schemas.ts';
import type { Services } from './services.ts';
import { withSnapshot } from './workspace-view.ts';

const PREFIX = '/journal/entity/';
const STATE = '/state';
const ENTITY_ID = z.object({
  id: z.string().openapi({ description: 'entity_id; slashes may stand as they are or percent-encoded.' }),
});

/** A path is the state's when its last segment says so; an id that ends in /state is asked for as %2Fstate. */
const isState = (path: string) => path.endsWith(STATE) && path.length > PREFIX.length + STATE.length;

const entityId = (path: string) => decodedId(path.slice(PREFIX.length), EVENT_FIELDS.entity_id.charsMax);

/** The history of an entity, and its state at a position or a time. */
export function addEntityRoutes(app: App, services: Services): void {
  addStateRoute(app, services);
  addRoute(app, services, {
    method: 'get',
    path: '/journal/entity/{id}',
    pattern: `${PREFIX}*`,
    applies: (path) => path.startsWith(PREFIX) && !isState(path),
    summary: 'The history of an entity',
    description:
      'Every event of it in order of seq, what is not sealed yet included. Times are compared with occurred_at, from ≤ t < to.',
    scoped: true,
    params: ENTITY_ID,
    query: z.object({
      ...FILTER_SHAPE,
      order: z.enum(['asc', 'desc']).default('asc'),
      limit: countParam(1, 1000).default(100),
      cursor: CursorParam,
    }),
    responses: { 200: jsonAnswer(EventPageAnswer, 'A page of events') },
    async handle({ c, workspace, query }) {
      const id = entityId(targetPath(c));
      const { type, field, from, to, order, limit, cursor } = query;
      const scope = { workspace, route: 'history', filter: { id, type, field, from, to, order } };
      const secret = services.cursorSecret;
      const cursorSeq = cursor === undefined ? undefined : decodeCursor(secret, scope, cursor);
      const startedMs = performance.now();
      const page = await withSnapshot(services, workspace, (snapshot) =>
        history(services.entityReader, snapshot, {
          entityId: id,
          entityType: type,
          field,
          from,
          to,
          order,
          limit,
          cursorSeq,
        }),
      );
      services.metrics.queryDone('history', performance.now() - startedMs);
      return pageResponse(page, (seq) => encodeCursor(secret, scope, seq));
    },
  });
}

function addStateRoute(app: App, services: Services): void {
  const fieldState = z.object({ value: z.any().optional(), seq: z.int(), occurred_at: z.string(), actor: z.string() });
  addRoute(app, services, {
    method: 'get',
    path: '/journal/entity/{id}/state',
    pattern: `${PREFIX}*`,
    applies: isState,
    summary: 'The fields of an entity as of a position or a time',
    description:
      'A position counts the events up to it. A time counts the events that occurred by then, whenever they were recorded.',
    scoped: true,
    params: ENTITY_ID,
    query: z.object({
      type: textParam('entity_type', 'entity_type, where several types share the id'),
      at: z.union([SeqParam, TimeParam]).optional().openapi({ description: 'A seq or an RFC 3339 time; default now.' }),
    }),
    responses: {
      200: jsonAnswer(
        z.object({
          entity_id: z.string(),
          entity_type: z.string().nullable(),
          exists: z.boolean(),
          fields: z.record(z.string(), fieldState),
          events: z.int(),
          first_seq: z.int().nullable(),
          last_seq: z.int().nullable(),
          complete_through: z.int(),
        }),
        'The state; exists is false before the first event and after a deletion',
      ),
    },
    async handle({ c, workspace, query }) {
      const id = entityId(targetPath(c).slice(0, -STATE.length));
      const at = typeof query.at === 'string' ? { time: query.at } : { seq: query.at ?? LIMITS.seqMax };
      const startedMs = performance.now();
      const state = await withSnapshot(services, workspace, (snapshot) =>
        stateAt(services.entityReader, snapshot, { entityId: id, entityType: query.type, at }),
      );
      services.metrics.queryDone('state', performance.now() - startedMs);
      return new Response(stateJson(state), { headers: { 'Content-Type': 'application/json' } });
    },
  });
}

/** Values are JSON text already and go in as they are. */
function stateJson(state: EntityStateAnswer): string {
  const { fields, ...rest } = state;
  const members = Object.entries(fields).map(([name, field]) => {
    const value = field.value === null ? '' : `"value":${field.value},`;
    const { seq, occurred_at, actor } = field;
    return `${JSON.stringify(name)}:{${value}"seq":${seq},"occurred_at":"${occurred_at}","actor":${JSON.stringify(actor)}}`;
  });
  return `${JSON.stringify(rest).slice(0, -1)},"fields":{${members.join(',')}}}`;
}
