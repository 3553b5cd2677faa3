import { z } from '@hono/zod-openapi';
import type { Ack } from '../../journal/index.ts';
import { parseQuery, searchParams } from './route.ts';

/** `ack` undefined: what this service does where nothing is said. */
export type AppendQuery = { ack: Ack | undefined; receipts: 'full' | 'summary'; workspace: string | undefined };

export const APPEND_QUERY = z.object({
  ack: z.enum(['queued', 'durable', 'committed']).optional().openapi({
    description:
      'When to answer: once the events are in the queue (the default in a cluster, and only there), fsynced in the write-ahead log (the default elsewhere), or committed to the object store. In a cluster an event has its position only once it is committed: `durable` means `committed` there.',
  }),
  receipts: z
    .enum(['full', 'summary'])
    .default('full')
    .openapi({ description: '`summary` leaves the list of receipts out.' }),
});

const STRICT = APPEND_QUERY.extend({ workspace: z.string().optional() }).strict();
const DEFAULTS: AppendQuery = { ack: undefined, receipts: 'full', workspace: undefined };

/** Targets that were read before: a client asks in few ways, and reading one costs more than finding it. */
const seen = new Map<string, AppendQuery>();
const SEEN_MAX = 256;
const SEEN_CHARS_MAX = 256;

/** The query of a request target. @throws IndelibleError invalid */
export function appendQuery(target: string): AppendQuery {
  if (!target.includes('?')) return DEFAULTS;
  const known = seen.get(target);
  if (known) return known;
  const { ack, receipts, workspace } = parseQuery(STRICT, searchParams(target));
  const query = { ack, receipts, workspace };
  if (seen.size < SEEN_MAX && target.length <= SEEN_CHARS_MAX) seen.set(target, query);
  return query;
}
