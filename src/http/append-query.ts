import { z } from '@hono/zod-openapi';
import type { Ack } from '../../journal/index.ts';
import { parseQuery, searchParams } from './route.ts';

export type AppendQuery = { ack: Exclude<Ack, 'queued'>; receipts: 'full' | 'summary'; workspace: string | undefined };

export const APPEND_QUERY = z.object({
  ack: z
    .enum(['durable', 'committed'])
    .default('durable')
    .openapi({ description: 'When to answer: fsynced in the write-ahead log, or committed to the object store.' }),
  receipts: z
    .enum(['full', 'summary'])
    .default('full')
    .openapi({ description: '`summary` leaves the list of receipts out.' }),
});

const STRICT = APPEND_QUERY.extend({ workspace: z.string().optional() }).strict();
const DEFAULTS: AppendQuery = { ack: 'durable', receipts: 'full', workspace: undefined };

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
