import { z } from '@hono/zod-openapi';
import { EVENT_FIELDS, type JournalEvent } from '../../journal/index.ts';
import { AXIOM_TYPE, VERDICT_TYPE, verdictId, verdictOf } from '../../projections/index.ts';
import { decodeCursor, encodeCursor, eventJson, eventWithPredecessor, recent } from '../../queries/index.ts';
import { compliancePath, eventPath, historyPath } from './compliance-row.ts';
import { pageResponse } from './page.ts';
import { type App, addRoute, decodedId, targetPath } from './route.ts';
import {
  CursorParam,
  countParam,
  EventPageAnswer,
  FILTER_SHAPE,
  jsonAnswer,
  MORE_FILTERS,
  RecordedEvent,
} from './schemas.ts';
import type { Services } from './services.ts';
import { withSnapshot } from './workspace-view.ts';

const EVENTS = '/journal/events/';

/** The newest events, and one event by its id. */
export function addEventRoutes(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/journal/recent',
    summary: 'The newest events, newest first',
    scoped: true,
    query: z.object({
      ...FILTER_SHAPE,
      ...MORE_FILTERS,
      limit: countParam(1, 1000).default(100),
      cursor: CursorParam,
    }),
    responses: { 200: jsonAnswer(EventPageAnswer, 'A page of events') },
    async handle({ workspace, query }) {
      const { limit, cursor, workspace: _named, ...asked } = query as typeof query & { workspace?: string };
      const scope = { workspace, route: 'recent', filter: asked };
      const secret = services.cursorSecret;
      const cursorSeq = cursor === undefined ? undefined : decodeCursor(secret, scope, cursor);
      const { type, entity_id, correlation_id, ...same } = asked;
      const filter = { ...same, entityType: type, entityId: entity_id, correlationId: correlation_id };
      const startedMs = performance.now();
      const page = await withSnapshot(services, workspace, (snapshot) =>
        recent(services.recentReader, snapshot, { ...filter, limit, cursorSeq }),
      );
      services.metrics.queryDone('recent', performance.now() - startedMs);
      return pageResponse(page, (seq) => encodeCursor(secret, scope, seq));
    },
  });
  addRoute(app, services, {
    method: 'get',
    path: '/journal/events/{event_id}',
    pattern: `${EVENTS}*`,
    summary: 'One event by its id',
    description:
      'Its links lead to the history and the state of its entity; from a signal to its verdict, and from a verdict to its signal.',
    scoped: true,
    params: z.object({ event_id: z.string() }),
    query: z.object({}),
    responses: {
      200: jsonAnswer(
        RecordedEvent.extend({ prev_hash: z.string(), links: z.record(z.string(), z.string()) }).openapi(
          'EventWithLinks',
        ),
        'The event, the hash of the one before it, and where to go from here',
      ),
    },
    async handle({ c, workspace }) {
      const id = decodedId(targetPath(c).slice(EVENTS.length), EVENT_FIELDS.event_id.charsMax);
      const { event, prev_hash } = await withSnapshot(services, workspace, (snapshot) =>
        eventWithPredecessor(services.journals, services.journals.engine, snapshot, id),
      );
      const entity = historyPath(event.entity_id, event.entity_type);
      const links = {
        self: eventPath(event.event_id),
        entity,
        state: `${entity.replace('?', '/state?')}&at=${event.seq}`,
        ...complianceLinks(event),
      };
      return new Response(`${eventJson(event, prev_hash).slice(0, -1)},"links":${JSON.stringify(links)}}`, {
        headers: { 'Content-Type': 'application/json' },
      });
    },
  });
}

/** From a signal to its verdict, and back. A signal that waits for its verdict has the links already. */
function complianceLinks(event: JournalEvent): Record<string, string> {
  const { event_id, entity_id: source_id } = event;
  if (event.entity_type === AXIOM_TYPE) {
    return { compliance: compliancePath(source_id), verdict: eventPath(verdictId({ source_id, event_id })) };
  }
  if (event.entity_type === VERDICT_TYPE) {
    const verdict = verdictOf(event);
    const cachedFrom = verdict.cached_from === null ? {} : { cached_from: eventPath(verdict.cached_from) };
    return { compliance: compliancePath(source_id), axiom: eventPath(verdict.axiom.event_id), ...cachedFrom };
  }
  return {};
}
