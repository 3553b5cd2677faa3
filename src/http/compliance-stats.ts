import { z } from '@hono/zod-openapi';
import { type ComplianceStats, RISK_LEVELS, TIERS } from '../../projections/index.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer } from './schemas.ts';
import type { Services } from './services.ts';
import { knownWorkspace } from './workspace-view.ts';

/** The newest hours that are listed: a week of them. */
const HOURS_SHOWN_MAX = 168;

const COUNT = z.int().min(0);
const RATE = z.number().nullable();

/** Of a workspace that holds nothing. */
const NO_STATS: ComplianceStats = {
  verdicts: 0,
  tiers: {},
  risks: {},
  routed: 0,
  unknown: 0,
  fallbacks: [],
  hours: [],
  position: -1,
};

const StatsAnswer = z
  .object({
    threshold: z.number().openapi({ description: 'Of the policies in use: from this score on a signal is judged.' }),
    policy: z.object({ name: z.string(), version: z.string() }).openapi({ description: 'In use now.' }),
    verdicts: COUNT.openapi({ description: 'Rows of compliance_events, what is not sealed yet included.' }),
    tiers: z.object(countsOf(TIERS)).openapi({ description: 'Of all verdicts, by who gave them.' }),
    risks: z.object(countsOf(RISK_LEVELS)).openapi({ description: 'Of all verdicts, by risk_level.' }),
    routed: COUNT.openapi({ description: 'Verdicts on signals whose score reached the threshold of their time.' }),
    cache: z.object({
      hit_rate: RATE.openapi({ description: 'Verdicts of the tier cache by routed ones; null: none was routed.' }),
      entries: COUNT.nullable().openapi({
        description: 'Verdicts in the index of this process that can be reused; null: other processes judge.',
      }),
      over_time: z.array(z.object({ hour: z.string(), routed: COUNT, cache_hits: COUNT, hit_rate: RATE })).openapi({
        description: `By the hour of created_at, UTC, ascending: the newest ${HOURS_SHOWN_MAX} with verdicts.`,
      }),
    }),
    fallbacks: z
      .array(z.object({ tier: z.string(), cause: z.string(), count: COUNT }))
      .openapi({ description: 'Verdicts for which a tier was asked and could not answer, from their `failures`.' }),
    unknown: COUNT.openapi({ description: 'Verdicts on signals without a source_id.' }),
    queue: z
      .object({
        signals: COUNT.openapi({ description: 'Taken up by this process and not judged.' }),
        oldest_at: z.string().nullable().openapi({ description: 'When the oldest of them was recorded.' }),
        unread_seqs: COUNT.openapi({
          description: 'Positions of the journal that were not looked at for signals yet.',
        }),
      })
      .nullable()
      .openapi({ description: 'null in a cluster, where one queue is shared by all workspaces: GET /streams.' }),
    position: z.int().openapi({ description: 'Every event up to this seq is counted; -1: none.' }),
  })
  .openapi('ComplianceStats');

function countsOf<Name extends string>(names: readonly Name[]): Record<Name, typeof COUNT> {
  return Object.fromEntries(names.map((name) => [name, COUNT])) as Record<Name, typeof COUNT>;
}

/** Figures of the whole workspace, from the projection, the policies in use and the queue. */
export function addComplianceStats(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/compliance/stats',
    summary: 'Figures of the verdicts: tiers, risks, cache, fallbacks, queue',
    scoped: true,
    query: z.object({}),
    responses: { 200: jsonAnswer(StatsAnswer, 'Figures') },
    async handle({ c, workspace }) {
      const { compliance, complianceEvents, metrics } = services;
      const startedMs = performance.now();
      // The queue first: what leaves it meanwhile is then counted twice at most, never in neither.
      const queue = compliance.queue(workspace);
      const stats = knownWorkspace(services, workspace) ? await complianceEvents.stats(workspace) : NO_STATS;
      metrics.queryDone('compliance-stats', performance.now() - startedMs);
      const { name, version, threshold } = compliance.policies;
      const { tiers, risks, hours, routed, ...counted } = stats;
      const answer: z.infer<typeof StatsAnswer> = {
        threshold,
        policy: { name, version },
        ...counted,
        routed,
        tiers: filled(TIERS, tiers),
        risks: filled(RISK_LEVELS, risks),
        cache: {
          hit_rate: rateOf(tiers.cache ?? 0, routed),
          entries: compliance.cachedVerdicts(workspace) ?? null,
          over_time: hours.slice(-HOURS_SHOWN_MAX).map((at) => ({
            ...{ hour: at.hour, routed: at.routed, cache_hits: at.cache_hits },
            hit_rate: rateOf(at.cache_hits, at.routed),
          })),
        },
        queue: queue ? { signals: queue.signals, oldest_at: queue.oldestAt, unread_seqs: queue.unreadSeqs } : null,
      };
      return c.json(answer);
    },
  });
}

function filled<Name extends string>(names: readonly Name[], counts: Record<string, number>): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, counts[name] ?? 0])) as Record<Name, number>;
}

function rateOf(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
