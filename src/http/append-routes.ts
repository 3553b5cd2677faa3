import type { ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { z } from '@hono/zod-openapi';
import { IndelibleError, type JournalStats, SYSTEM_WORKSPACE, ZERO_HASH } from '../../journal/index.ts';
import { APPEND_PATH, type AppendHandler } from './append.ts';
import { APPEND_QUERY } from './append-query.ts';
import { addRoute, type App } from './route.ts';
import { AppendAnswer, jsonAnswer, NewEvent, PRIORITY_HEADER, QueuedAnswer } from './schemas.ts';
import type { Services } from './services.ts';
import { knownWorkspace } from './workspace-view.ts';

/** Appending, sealing by hand, and the figures of a journal. */
export function addAppendRoutes(app: App, services: Services, append: AppendHandler): void {
  addRoute(app, services, {
    method: 'post',
    path: APPEND_PATH,
    // The handler authenticates by itself, in the listener before this application and here alike.
    handlesAuth: true,
    summary: 'Record events',
    description:
      'One event, a JSON array, or NDJSON. All or nothing up to 10,000 events or 16 MiB; longer NDJSON is taken as a stream in such chunks, and a problem says by `progress` how far it came. Sending the same events again is safe: an event_id is recorded once, and an Idempotency-Key header gives events without one an id of their own. In a cluster events are queued first (202): other content under a known event_id or Idempotency-Key is found out only later then, and the whole append lies among the dead letters. `ack=committed` tells at once. Content-Encoding: gzip is taken.',
    scoped: true,
    query: APPEND_QUERY,
    headers: z.object({
      'Idempotency-Key': z
        .string()
        .min(1)
        .max(255)
        .optional()
        .openapi({ description: 'Makes the request repeatable where its events have no event_id.' }),
      ...PRIORITY_HEADER,
    }),
    body: {
      required: true,
      content: {
        'application/json': { schema: z.union([NewEvent, z.array(NewEvent)]) },
        'application/x-ndjson': { schema: z.string().openapi({ description: 'An event a line.' }) },
      },
    },
    responses: {
      201: jsonAnswer(AppendAnswer, 'Recorded'),
      202: jsonAnswer(QueuedAnswer, 'Queued: durable, and recorded soon'),
    },
    async handle({ c }) {
      await append.handle(c.env.incoming, c.env.outgoing as ServerResponse);
      return RESPONSE_ALREADY_SENT;
    },
  });
  addRoute(app, services, {
    method: 'post',
    path: '/journal/flush',
    summary: 'Seal now: commit the durable tail to the object store',
    scoped: true,
    query: z.object({}),
    responses: { 200: jsonAnswer(z.object({ events: z.int() }), 'Sealed') },
    async handle({ c, workspace }) {
      return c.json(await flush(services, workspace));
    },
  });
  addRoute(app, services, {
    method: 'get',
    path: '/journal/stats',
    summary: 'The figures of the journal',
    scoped: true,
    query: z.object({}),
    responses: { 200: jsonAnswer(z.record(z.string(), z.any()), 'Figures') },
    async handle({ c, workspace }) {
      if (knownWorkspace(services, workspace)) return c.json(await services.journals.stats(workspace));
      return c.json(await emptyStats(services));
    },
  });
}

/** @throws IndelibleError not-found */
async function flush(services: Services, workspace: string): Promise<{ events: number }> {
  const { journals } = services;
  // Where there is a queue, what is in it may be all there is of the journal, and nobody here knows of it yet.
  if (journals.queue === undefined) return knownWorkspace(services, workspace) ? journals.flush(workspace) : NOTHING;
  try {
    return await journals.flush(workspace);
  } catch (error) {
    const isEmpty = error instanceof IndelibleError && error.kind === 'not-found';
    if (isEmpty && services.keys.workspace(workspace) !== undefined) return NOTHING;
    throw error;
  }
}

const NOTHING = { events: 0 };

/** Of a workspace that was made and holds nothing: what belongs to the process is the same everywhere. */
async function emptyStats({ journals }: Services): Promise<JournalStats> {
  return {
    ...(await journals.stats(SYSTEM_WORKSPACE)),
    buffered_events: 0,
    persisted_files: 0,
    persisted_bytes: 0,
    mergeable_files: 0,
    total_events: 0,
    first_seq: 0,
    committed_seq: -1,
    durable_seq: -1,
    head_hash: ZERO_HASH,
  };
}
