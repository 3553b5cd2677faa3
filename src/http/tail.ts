import { z } from '@hono/zod-openapi';
import { IndelibleError, invalid } from '../../journal/index.ts';
import { type EventFilter, eventJson, eventsFrom, matches } from '../../queries/index.ts';
import type { RequestLog } from './request-log.ts';
import { type App, addRoute } from './route.ts';
import { MORE_FILTERS, textParam } from './schemas.ts';
import type { Services } from './services.ts';
import { goneSignal, sendStream } from './stream-out.ts';
import { openJournal, withSnapshot } from './workspace-view.ts';

/** Below the idle timeouts of proxies, and of our own server. */
const HEARTBEAT_MS = 15_000;
const BATCH_EVENTS = 500;
/** Each may hold one batch for a slow reader. */
const TAILS_MAX = 100;

/** Server-sent events: the journal as it grows. */
export function addTailRoute(app: App, services: Services, requestLog: RequestLog): void {
  let open = 0;
  addRoute(app, services, {
    method: 'get',
    path: '/journal/tail',
    summary: 'The journal as it grows, as server-sent events',
    description:
      'id is the seq, data an event as JSON. Goes on after Last-Event-ID, or after the seq of ?after=; without either, and once the `position` of ?after= is reached, with what is recorded from then on. Comments keep the connection alive. A slow reader is waited for and falls behind; it loses nothing.',
    scoped: true,
    query: z.object({
      from_start: z.enum(['true']).optional().openapi({ description: 'Begin with seq 0.' }),
      type: textParam('entity_type', 'entity_type'),
      field: textParam('field', 'field'),
      ...MORE_FILTERS,
    }),
    headers: z.object({
      'Last-Event-ID': z.string().optional().openapi({ description: 'The last seq you have, as browsers send it.' }),
    }),
    responses: { 200: { description: 'Events', content: { 'text/event-stream': { schema: z.string() } } } },
    async handle({ c, workspace, query, after, requestId }) {
      const { type, entity_id, correlation_id, field, action, actor, source, from_start } = query;
      const same = { field, action, actor, source };
      const filter = { ...same, entityType: type, entityId: entity_id, correlationId: correlation_id };
      const lastId = lastEventId(c.req.header('Last-Event-ID'));
      if (open >= TAILS_MAX) throw new IndelibleError('busy', 'too many tails at once', { retryAfterS: 5 });
      open += 1;
      try {
        await openJournal(services, workspace);
        const head = services.journals.durableSeq(workspace);
        const fromSeq = from_start ? 0 : (lastId ?? seqOf(after) ?? head) + 1;
        const signal = AbortSignal.any([goneSignal(c), services.lifecycle.stopping]);
        const headers = { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' };
        return await sendStream(c, headers, follow(services, workspace, { fromSeq, filter, signal }), (error) =>
          requestLog.problem(error, requestId),
        );
      } finally {
        open -= 1;
      }
    },
  });
}

function lastEventId(header: string | undefined): number | undefined {
  if (header === undefined || header === '') return undefined;
  if (/^\d{1,10}$/.test(header)) return Number(header);
  throw invalid([{ pointer: '/Last-Event-ID', message: 'is not an id of this stream: ids are seqs' }]);
}

/** undefined: nothing, or a position in the queue, which is no seq. */
function seqOf(after: string | undefined): number | undefined {
  return after === undefined || after.includes(':') ? undefined : Number(after);
}

/** Reads the next batch only when it is asked for: one that asks slowly costs no memory. */
async function* follow(
  services: Services,
  workspace: string,
  { fromSeq, filter, signal }: { fromSeq: number; filter: EventFilter; signal: AbortSignal },
): AsyncGenerator<string> {
  const { journals } = services;
  const bell = new Bell(signal);
  const unsubscribe = journals.subscribe(workspace, bell.ring);
  let next = fromSeq;
  try {
    yield 'retry: 1000\n\n';
    while (!signal.aborted) {
      if (journals.durableSeq(workspace) >= next) {
        const from = next;
        const events = await withSnapshot(services, workspace, (snapshot) =>
          eventsFrom(journals.engine, snapshot, from, BATCH_EVENTS),
        );
        let text = '';
        for (const event of events) {
          if (matches(filter, event)) text += `id: ${event.seq}\ndata: ${eventJson(event)}\n\n`;
          next = event.seq + 1;
        }
        if (text !== '') yield text;
      } else if (!(await bell.heard(HEARTBEAT_MS))) {
        yield ': still here\n\n';
      }
    }
  } finally {
    unsubscribe();
  }
}

/** Remembers that it rang until somebody has heard it. */
class Bell {
  readonly #signal: AbortSignal;
  #rang = false;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.ring);
  }

  readonly ring = (): void => {
    this.#rang = true;
    this.#wake?.();
  };

  /** true: it rang; false: `waitMs` went by in silence. */
  async heard(waitMs: number): Promise<boolean> {
    if (!this.#rang && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const rang = this.#rang;
    this.#rang = false;
    return rang;
  }
}
