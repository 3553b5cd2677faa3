import { z } from '@hono/zod-openapi';
import { EVENT_FIELDS, IndelibleError, type Snapshot } from '../../journal/index.ts';
import {
  AXIOM_TYPE,
  type CompliancePage,
  type ComplianceRow,
  RISK_LEVELS,
  UNKNOWN_SOURCE,
} from '../../projections/index.ts';
import {
  type CursorScope,
  decodeCursor,
  encodeCursor,
  eventJson,
  eventWithPredecessor,
  history,
} from '../../queries/index.ts';
import { AXIOM_FIELDS } from '../judging/index.ts';
import { ComplianceEvent, complianceView } from './compliance-row.ts';
import { type App, addRoute, decodedId, targetPath } from './route.ts';
import { CursorParam, countParam, exactText, jsonAnswer, RecordedEvent, TimeParam } from './schemas.ts';
import type { Services } from './services.ts';
import { knownWorkspace, withSnapshot } from './workspace-view.ts';

const EVENTS = '/compliance/events/';

/** A provider's name. */
const DRIVER_CHARS_MAX = 128;

const PAGE = {
  events: z.array(ComplianceEvent),
  next_cursor: z.string().nullable().openapi({ description: 'For ?cursor= of the same query; null: no more.' }),
  complete_through: z.int().openapi({ description: 'Every event up to this seq is taken account of; -1: none.' }),
};
const PAGING = { limit: countParam(1, 1000).default(100), cursor: CursorParam };

/** Of a workspace that holds nothing. */
const NO_PAGE: CompliancePage = { rows: [], nextSeq: null, position: -1 };

/** Verdicts: the list, and what there is of one source. */
export function addComplianceRoutes(app: App, services: Services): void {
  addListRoute(app, services);
  addSourceRoute(app, services);
}

function addListRoute(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/compliance/events',
    summary: 'Verdicts, newest first',
    description:
      'One for each source_id, the first; all of those without one. What is durable counts, sealed or not. Times are compared with emitted_at, from ≤ t < to.',
    scoped: true,
    query: z.object({
      from: TimeParam.optional(),
      to: TimeParam.optional(),
      flagged: z.enum(['true', 'false']).optional().openapi({ description: 'routed_to_ai' }),
      domain: exactText(AXIOM_FIELDS.domain.charsMax, 'domain'),
      risk: z.enum(RISK_LEVELS).optional().openapi({ description: 'risk_level' }),
      status: exactText(AXIOM_FIELDS.status.charsMax, 'status'),
      driver: exactText(DRIVER_CHARS_MAX, 'driver_used'),
      ...PAGING,
    }),
    responses: { 200: jsonAnswer(z.object(PAGE).openapi('CompliancePage'), 'A page of verdicts') },
    async handle({ c, workspace, query }) {
      const { limit, cursor, from, to, flagged, domain, risk, status, driver } = query;
      const asked = { from, to, flagged, domain, risk, status, driver };
      const same = { from, to, domain, status, driver };
      const filter = {
        ...same,
        flagged: flagged === undefined ? undefined : flagged === 'true',
        riskLevel: risk,
      };
      const answer = await pageOf(services, { workspace, route: 'compliance', filter: asked }, cursor, (cursorSeq) =>
        services.complianceEvents.page(workspace, { ...filter, limit, cursorSeq }),
      );
      return c.json(answer);
    },
  });
}

function addSourceRoute(app: App, services: Services): void {
  const event = RecordedEvent.extend({ prev_hash: z.string() }).nullable();
  addRoute(app, services, {
    method: 'get',
    path: `${EVENTS}{source_id}`,
    pattern: `${EVENTS}*`,
    summary: 'The verdict on a source, with the events it rests on',
    description:
      'The verdict as a row with its links, and both events of the journal in full: the signal (null where retention removed it) and the verdict. Of `unknown`, which many signals share: all rows, page by page, without the events.',
    scoped: true,
    params: z.object({
      source_id: z.string().openapi({ description: 'Slashes may stand as they are or percent-encoded.' }),
    }),
    query: z.object(PAGING),
    responses: {
      200: jsonAnswer(
        z
          .object({ source_id: z.string(), ...PAGE, axiom_event: event.optional(), verdict_event: event.optional() })
          .openapi('ComplianceSource'),
        'The verdict',
      ),
    },
    async handle({ c, workspace, query: { limit, cursor } }) {
      const id = decodedId(targetPath(c).slice(EVENTS.length), EVENT_FIELDS.entity_id.charsMax);
      const scope = { workspace, route: 'compliance-source', filter: { id } };
      let first: ComplianceRow | undefined;
      const page = await pageOf(services, scope, cursor, async (cursorSeq) => {
        const found = await services.complianceEvents.bySource(workspace, id, { limit, cursorSeq });
        first = found.rows[0];
        return found;
      });
      if (first === undefined && cursor === undefined) throw await whyNone(services, workspace, id);
      const said = JSON.stringify({ source_id: id, ...page });
      const events = first === undefined || id === UNKNOWN_SOURCE ? '' : await originOf(services, workspace, first);
      return new Response(`${said.slice(0, -1)}${events}}`, { headers: { 'Content-Type': 'application/json' } });
    },
  });
}

async function pageOf(
  services: Services,
  scope: CursorScope,
  cursor: string | undefined,
  read: (cursorSeq: number | undefined) => Promise<CompliancePage>,
): Promise<{ events: unknown[]; next_cursor: string | null; complete_through: number }> {
  const secret = services.cursorSecret;
  const cursorSeq = cursor === undefined ? undefined : decodeCursor(secret, scope, cursor);
  const startedMs = performance.now();
  const page = knownWorkspace(services, scope.workspace) ? await read(cursorSeq) : NO_PAGE;
  services.metrics.queryDone('compliance', performance.now() - startedMs);
  const { rows, nextSeq, position } = page;
  return {
    events: rows.map(complianceView),
    next_cursor: nextSeq === null ? null : encodeCursor(secret, scope, nextSeq),
    complete_through: position,
  };
}

/** Members of the answer, as JSON text: values are spliced in as they were recorded. */
function originOf(services: Services, workspace: string, { id, axiom_event_id }: ComplianceRow): Promise<string> {
  return withSnapshot(services, workspace, async (snapshot) => {
    const axiom = await eventOf(services, snapshot, axiom_event_id);
    const verdict = await eventOf(services, snapshot, id);
    return `,"axiom_event":${axiom},"verdict_event":${verdict}`;
  });
}

async function eventOf(services: Services, snapshot: Snapshot, eventId: string): Promise<string> {
  const { journals } = services;
  try {
    const { event, prev_hash } = await eventWithPredecessor(journals, journals.engine, snapshot, eventId);
    return eventJson(event, prev_hash);
  } catch (error) {
    // Retention removes events, and leaves the rows that follow from them.
    if (error instanceof IndelibleError && error.kind === 'not-found') return 'null';
    throw error;
  }
}

async function whyNone(services: Services, workspace: string, id: string): Promise<IndelibleError> {
  const page = await withSnapshot(services, workspace, (snapshot) =>
    history(services.entityReader, snapshot, { entityId: id, entityType: AXIOM_TYPE, order: 'asc', limit: 1 }),
  );
  const signal = page.events[0];
  if (signal === undefined) return new IndelibleError('not-found', 'no signal of this source is recorded');
  const queue = services.compliance.queue(workspace);
  const others = queue ? ` (signals that wait: ${queue.signals})` : '';
  const message = `the signal is recorded at seq ${signal.seq} and waits for its verdict${others}`;
  return new IndelibleError('not-found', message);
}
