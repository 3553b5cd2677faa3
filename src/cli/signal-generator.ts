import type { AxiomInput } from '../client/index.ts';

/** Domains that the shipped policies speak of, and what is measured in each. */
const SERIES = [
  {
    domain: 'realAWSCloudwatch',
    entities: ['ec2_cpu_utilization_5f5533', 'rds_cpu_utilization_cc0c53', 'elb_request_count'],
  },
  { domain: 'realAdExchange', entities: ['exchange-2_cpc_results', 'exchange-3_cpm_results'] },
  { domain: 'realKnownCause', entities: ['ambient_temperature', 'machine_temperature', 'nyc_taxi'] },
  { domain: 'realTraffic', entities: ['occupancy_6005', 'speed_7578', 'TravelTime_451'] },
  { domain: 'realTweets', entities: ['Twitter_volume_AAPL', 'Twitter_volume_UPS'] },
] as const;

const UNUSUAL_STATUSES = ['degraded', 'failed', 'maintenance', undefined] as const;

/** Share of the signals whose score reaches the threshold of the shipped policies. */
const UNUSUAL_SHARE = 0.02;
const UNUSUAL_FROM = 0.8;
const SCORE_DIGITS = 4;

const FIRST_AT_MS = Date.UTC(2026, 0, 1);
const EVERY_MS = 1_000;

/** Signals that could have come from a monitoring system; the same ones for the same seed. */
export function* generatedSignals(seed: number, limit: number): Generator<AxiomInput> {
  const random = randomOf(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  for (let index = 0; index < limit; index++) {
    const { domain, entities } = pick(SERIES);
    const entity = pick<string>(entities);
    const isUnusual = random() < UNUSUAL_SHARE;
    const score = isUnusual ? UNUSUAL_FROM + random() * (1 - UNUSUAL_FROM) : random() * UNUSUAL_FROM;
    const status = isUnusual ? pick(UNUSUAL_STATUSES) : 'ok';
    yield {
      source_id: `simulated-${seed}/${domain}/${entity}#${index}`,
      domain,
      ...(status === undefined ? {} : { status }),
      metric_value: Math.round(random() * 10_000) / 100,
      // Cut, not rounded: what is usual stays below the threshold.
      anomaly_score: Math.floor(score * 10 ** SCORE_DIGITS) / 10 ** SCORE_DIGITS,
      emitted_at: new Date(FIRST_AT_MS + index * EVERY_MS).toISOString(),
      entity_type: 'metric',
      entity_id: `${domain}/${entity}`,
    };
  }
}

/** Numbers from 0 to below 1: mulberry32 (Tommy Ettinger, public domain). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
