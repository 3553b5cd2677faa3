import { z } from '@hono/zod-openapi';
import { IndelibleError } from '../../journal/index.ts';
import type { ClusterAdmin } from './cluster-admin.ts';
import { jsonBody } from './json-body.ts';
import { Reason } from './retention-routes.ts';
import { type App, addRoute } from './route.ts';
import { countParam, jsonAnswer } from './schemas.ts';
import type { Services } from './services.ts';

/** Ids of the stream of dead letters: what is none names none. */
const LETTER_ID = /^\d{1,19}-\d{1,19}$/;
const PAGE_MAX = 100;

const COUNT = z.int().min(0);
const Letter = z
  .object({
    id: z.string(),
    dead_at: z.string().openapi({ format: 'date-time' }),
    stream: z.string().openapi({ description: 'Where it came from.', example: 'axioms' }),
    entry_id: z.string().openapi({ description: 'Its id there.' }),
    workspace: z.string().nullable(),
    kind: z.enum(['malformed', 'poison', 'conflict', 'refused']),
    reason: z.string(),
    deliveries: COUNT.openapi({ description: 'How often it was delivered.' }),
    bytes: COUNT.openapi({ description: 'Of its fields.' }),
  })
  .openapi('DeadLetter');
const FieldValue = z.union([z.object({ text: z.string() }), z.object({ base64: z.string() })]);
const LetterContent = Letter.extend({ fields: z.record(z.string(), FieldValue) }).openapi('DeadLetterContent');
const LetterPage = z.object({ dead_letters: z.array(Letter), next_cursor: z.string().nullable() });

const StreamsAnswer = z
  .object({
    pressure_level: z.int().min(0).max(3).openapi({
      description: '0 normal, 1 smaller reads, 2 low priority waits, 3 nothing is taken.',
    }),
    dead_letters: COUNT,
    streams: z.array(
      z.object({
        name: z.string().openapi({ example: 'journal-0' }),
        length: COUNT,
        groups: z.array(
          z.object({
            name: z.string(),
            consumers: COUNT,
            pending: COUNT.openapi({ description: 'Delivered and not acknowledged.' }),
            lag: COUNT.nullable().openapi({ description: 'Not delivered yet; null: not known.' }),
            last_delivered_id: z.string(),
          }),
        ),
      }),
    ),
  })
  .openapi('Streams');

const ReplayBody = z
  .strictObject({
    group: z.string().openapi({ description: 'The consumer group; made where it is not there.', example: 'copy' }),
    from: z.string().openapi({
      description:
        'The first entry to be delivered: its id, 0 for the oldest, $ for what comes from now on, or an RFC 3339 time.',
      example: '2026-01-02T03:04:05Z',
    }),
  })
  .openapi('Replay');
const ReplayAnswer = z
  .object({
    entries: COUNT.openapi({ description: 'That are there now and will be delivered.' }),
    created: z.boolean().openapi({ description: 'false: the group was there, and was moved.' }),
  })
  .openapi('ReplayAnswer');

/** What the streams of a cluster hold, and what could not be processed. For the operator. */
export function addClusterRoutes(app: App, services: Services): void {
  addReadingLetters(app, services);
  addDecidingOnLetters(app, services);
  addStreams(app, services);
}

function addReadingLetters(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/dead-letters',
    summary: 'What could not be processed, oldest first',
    scoped: false,
    query: z.object({
      limit: countParam(1, PAGE_MAX).default(50),
      cursor: z
        .string()
        .regex(LETTER_ID, 'is no next_cursor of a page before')
        .optional()
        .openapi({ description: 'next_cursor of the page before.' }),
    }),
    responses: { 200: jsonAnswer(LetterPage, 'Dead letters, without their contents') },
    handle: async ({ c, query: { cursor, limit } }) => c.json(await clusterOf(services).deadLetters({ cursor, limit })),
  });
  addRoute(app, services, {
    method: 'get',
    path: '/dead-letters/{id}',
    summary: 'A dead letter with its contents',
    scoped: false,
    params: z.object({ id: z.string() }),
    query: z.object({}),
    responses: { 200: jsonAnswer(LetterContent, 'The dead letter') },
    handle: async ({ c }) => c.json(await clusterOf(services).deadLetter(letterId(c.req.param('id')))),
  });
}

function addDecidingOnLetters(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'post',
    path: '/dead-letters/{id}/replay',
    summary: 'Process a dead letter again',
    description: 'It goes to the end of its stream as it was; the journal takes an event once, so that is safe.',
    scoped: false,
    params: z.object({ id: z.string() }),
    query: z.object({}),
    responses: {
      200: jsonAnswer(z.object({ stream: z.string(), entry_id: z.string() }), 'Where it lies now'),
    },
    async handle({ c, principal, requestId }) {
      const id = letterId(c.req.param('id'));
      const replayed = await clusterOf(services).replayDeadLetter(id);
      services.log.info({ requestId, id, by: principal.name, ...replayed }, 'a dead letter is processed again');
      return c.json(replayed);
    },
  });
  addRoute(app, services, {
    method: 'delete',
    path: '/dead-letters/{id}',
    summary: 'Discard a dead letter',
    description: 'For good: what it held was recorded, or judged, nowhere. Who and why stands in the log.',
    scoped: false,
    params: z.object({ id: z.string() }),
    query: z.object({ reason: Reason }),
    responses: { 200: jsonAnswer(z.object({ discarded: z.boolean() }), 'Discarded') },
    async handle({ c, principal, requestId, query: { reason } }) {
      const id = letterId(c.req.param('id'));
      await clusterOf(services).discardDeadLetter(id, reason);
      services.log.warn({ requestId, id, by: principal.name, reason }, 'a dead letter was discarded');
      return c.json({ discarded: true });
    },
  });
}

function addStreams(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/streams',
    summary: 'What the streams hold, and how far behind their readers are',
    scoped: false,
    query: z.object({}),
    responses: { 200: jsonAnswer(StreamsAnswer, 'Streams') },
    handle: async ({ c }) => c.json(await clusterOf(services).streams()),
  });
  addRoute(app, services, {
    method: 'post',
    path: '/streams/{name}/replay',
    summary: 'Have a consumer group read a stream from a position on',
    description:
      "Makes the group, or moves it. The service's own groups are moved back only, never over what they were not delivered. Entries stay for some minutes after every group is done with them; under pressure they go at once.",
    scoped: false,
    params: z.object({ name: z.string() }),
    query: z.object({}),
    body: { required: true, content: { 'application/json': { schema: ReplayBody } } },
    responses: { 200: jsonAnswer(ReplayAnswer, 'Made, or moved') },
    async handle({ c, principal, requestId }) {
      const cluster = clusterOf(services);
      const request = await jsonBody({ c }, ReplayBody);
      const name = c.req.param('name') ?? '';
      const replayed = await cluster.replay(name, request);
      services.log.info({ requestId, name, ...request, ...replayed, by: principal.name }, 'a group was moved');
      return c.json(replayed);
    },
  });
}

/** @throws IndelibleError conflict where the service is one process of its own */
function clusterOf({ cluster }: Services): ClusterAdmin {
  if (cluster !== undefined) return cluster;
  throw new IndelibleError('conflict', 'this service is no cluster: start it with INDELIBLE_REDIS_URL');
}

/** @throws IndelibleError not-found for what no letter is called */
function letterId(id = ''): string {
  if (!LETTER_ID.test(id)) throw new IndelibleError('not-found', 'there is no such dead letter');
  return id;
}
