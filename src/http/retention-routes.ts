import { z } from '@hono/zod-openapi';
import { invalid, LIMITS, type RetentionReport, ZERO_HASH } from '../../journal/index.ts';
import { jsonBody } from './json-body.ts';
import type { RequestLog } from './request-log.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer, TimeParam } from './schemas.ts';
import type { Services } from './services.ts';
import { sendWhenDone } from './stream-out.ts';
import { knownWorkspace } from './workspace-view.ts';

const REASON_CHARS_MAX = 1000;
const HOLD_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Why an operator does what cannot be undone. */
export const Reason = z
  .string()
  .min(1, 'is empty')
  .max(REASON_CHARS_MAX, `is longer than ${REASON_CHARS_MAX} characters`)
  .regex(/^[^\p{C}]+$/u, 'holds a control character')
  .openapi({ description: 'Why: it is recorded.', example: 'kept for ten years, as the law says' });

const RetentionBody = z
  .strictObject({
    before: TimeParam.optional().openapi({ description: 'Events recorded before this time go.' }),
    seq: z.int().min(0).max(LIMITS.seqMax).optional().openapi({ description: 'Or: events before this position go.' }),
    reason: Reason,
    dry_run: z.boolean().default(false).openapi({ description: 'Only tell what would go.' }),
  })
  .openapi('Retention');

const COUNT = z.int().min(0);
const RetentionAnswer = z
  .object({
    first_seq: COUNT.openapi({ description: 'Position of the oldest event that stays.' }),
    removed: COUNT.openapi({ description: 'Events.' }),
    files_removed: COUNT,
    files_rewritten: COUNT.openapi({ description: 'Files that also hold events that stay.' }),
    before_hash: z.string().openapi({ description: 'event_hash at first_seq − 1: what the oldest event links to.' }),
  })
  .openapi('RetentionAnswer');

const HoldName = z.string().regex(HOLD_NAME, `must match ${HOLD_NAME.source}`).openapi({ example: 'case-2026-17' });
const HoldBody = z.strictObject({ name: HoldName, reason: Reason }).openapi('NewHold');
const HoldAnswer = z
  .object({
    workspace: z.string(),
    name: z.string(),
    reason: z.string(),
    made_at: z.string(),
    made_by: z.string(),
    released_at: z.string().nullable(),
    released_by: z.string().nullable(),
  })
  .openapi('Hold');

/** Of a workspace that holds nothing. */
const NOTHING_REMOVED: RetentionReport = {
  first_seq: 0,
  removed: 0,
  files_removed: 0,
  files_rewritten: 0,
  before_hash: ZERO_HASH,
};

/** Removing a journal's oldest events by order, and the legal holds that forbid it. For the operator. */
export function addRetentionRoutes(app: App, services: Services, requestLog: RequestLog): void {
  addRetention(app, services, requestLog);
  addHolds(app, services);
}

function addRetention(app: App, services: Services, requestLog: RequestLog): void {
  addRoute(app, services, {
    method: 'post',
    path: '/journal/retention',
    summary: 'Remove the oldest events',
    description:
      'Removes every committed event before a time of recording or a position, after an event of the journal itself says so. What remains verifies from first_seq on. Refused while a legal hold stands. The bytes go with the files that left the journal, after the grace period of compaction.',
    scoped: true,
    query: z.object({}),
    body: { required: true, content: { 'application/json': { schema: RetentionBody } } },
    responses: { 200: jsonAnswer(RetentionAnswer, 'Removed, or with dry_run what would be') },
    async handle({ c, workspace, principal, requestId }) {
      const { before, seq, reason, dry_run: isDryRun } = await jsonBody({ c }, RetentionBody);
      if ((before === undefined) === (seq === undefined)) {
        throw invalid([{ pointer: '/before', message: 'name either before (a time) or seq (a position)' }]);
      }
      if (!knownWorkspace(services, workspace)) return c.json(NOTHING_REMOVED);
      const cut = before === undefined ? { seq: seq as number } : { before };
      const removed = services.retention.remove(workspace, { cut, reason, isDryRun }, principal);
      return sendWhenDone(c, removed, (error) => requestLog.problem(error, requestId));
    },
  });
}

function addHolds(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/journal/holds',
    summary: 'The legal holds, released ones too',
    scoped: true,
    query: z.object({}),
    responses: { 200: jsonAnswer(z.object({ holds: z.array(HoldAnswer) }), 'Holds') },
    handle({ c, workspace }) {
      knownWorkspace(services, workspace);
      return c.json({ holds: services.retention.holds(workspace) });
    },
  });
  addRoute(app, services, {
    method: 'post',
    path: '/journal/holds',
    summary: 'Make a legal hold',
    description: 'While one stands nothing is removed: once this is answered, a removal that is under way is over.',
    scoped: true,
    query: z.object({}),
    body: { required: true, content: { 'application/json': { schema: HoldBody } } },
    responses: { 201: jsonAnswer(HoldAnswer, 'Made; the same again changes nothing') },
    async handle({ c, workspace, principal }) {
      const wanted = await jsonBody({ c }, HoldBody);
      knownWorkspace(services, workspace);
      return c.json(await services.retention.addHold(workspace, wanted, principal), 201);
    },
  });
  addRoute(app, services, {
    method: 'delete',
    path: '/journal/holds/{name}',
    summary: 'Release a legal hold',
    scoped: true,
    params: z.object({ name: z.string() }),
    query: z.object({}),
    responses: { 200: jsonAnswer(HoldAnswer, 'Released; doing it again changes nothing') },
    async handle({ c, workspace, principal }) {
      knownWorkspace(services, workspace);
      return c.json(await services.retention.releaseHold(workspace, c.req.param('name') ?? '', principal));
    },
  });
}
