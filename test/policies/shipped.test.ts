import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Axiom, RISK_LEVELS } from '../../projections/index.ts';
import { judgeByRules, loadPolicies, type PolicySet, SHIPPED_POLICIES } from '../../src/policies/index.ts';
import { axiom } from './support.ts';

/** Of what is shipped. Where it changes, the declared version in policy.json goes up with it. */
const VERSION = '1.0.0+af63ecb02f8f';

const DOMAINS = ['realAdExchange', 'realAWSCloudwatch', 'realKnownCause', 'realTraffic', 'realTweets'];

/** Signals, the rule that is to judge them, and how. */
const GOLDEN: [Partial<Axiom>, string, string][] = [
  [{ anomaly_score: 0.8 }, 'score-over-threshold', 'medium'],
  [{ anomaly_score: 0.949 }, 'score-over-threshold', 'medium'],
  [{ anomaly_score: 0.95 }, 'score-extreme', 'high'],
  [{ anomaly_score: 1 }, 'score-extreme', 'high'],
  [{ domain: 'realKnownCause', anomaly_score: 0.99 }, 'known-cause-extreme', 'critical'],
  [{ domain: 'realKnownCause', anomaly_score: 0.98 }, 'score-extreme', 'high'],
  [{ domain: 'realKnownCause', anomaly_score: 0.8 }, 'score-over-threshold', 'medium'],
  [{ domain: 'realAWSCloudwatch', anomaly_score: 1 }, 'cloud-extreme', 'critical'],
  [{ domain: 'realAWSCloudwatch', anomaly_score: 0.96 }, 'score-extreme', 'high'],
  [{ domain: 'realAdExchange', anomaly_score: 1 }, 'ad-spend', 'high'],
  [{ domain: 'realAdExchange', anomaly_score: 0.9 }, 'score-over-threshold', 'medium'],
  [{ domain: 'realTraffic', anomaly_score: 0.95 }, 'traffic-sensor', 'high'],
  [{ domain: 'realTweets', anomaly_score: 0.99 }, 'social-surge', 'medium'],
  [{ domain: 'realTweets', anomaly_score: 0.98 }, 'social-raised', 'low'],
  [{ domain: 'realtweets', anomaly_score: 0.98 }, 'score-extreme', 'high'],
  [{ status: 'failed', anomaly_score: 0.95 }, 'failure-confirmed', 'critical'],
  [{ status: 'down', anomaly_score: 0.9 }, 'failure-reported', 'high'],
  [{ status: 'error', domain: 'realTweets', anomaly_score: 1 }, 'failure-confirmed', 'critical'],
  [{ status: 'critical', source_id: 'unknown', anomaly_score: 1 }, 'failure-confirmed', 'critical'],
  [{ status: 'ok', anomaly_score: 0.9 }, 'score-over-threshold', 'medium'],
  [{ status: 'maintenance', domain: 'realAWSCloudwatch', anomaly_score: 1 }, 'announced-work', 'medium'],
  [{ status: 'test', anomaly_score: 0.8 }, 'announced-work', 'medium'],
  [{ status: 'test', source_id: 'unknown', anomaly_score: 0.8 }, 'source-missing', 'high'],
  [{ source_id: 'unknown', domain: 'realTweets' }, 'source-missing', 'high'],
  [{ source_id: 'unknown', domain: 'realKnownCause', anomaly_score: 1 }, 'known-cause-extreme', 'critical'],
  [{ metric_value: null, domain: 'realTraffic', anomaly_score: 1 }, 'metric-missing', 'high'],
  [{ metric_value: 0, domain: 'realTraffic', anomaly_score: 1 }, 'traffic-sensor', 'high'],
];

describe('the shipped policies', () => {
  let set: PolicySet;
  beforeAll(async () => {
    set = await loadPolicies(SHIPPED_POLICIES);
  });

  it('are of this version, with the thresholds that are documented', () => {
    expect(set).toMatchObject({ name: 'indelible-shipped', version: VERSION, threshold: 0.8, similarityMin: 0.9 });
  });

  it.each(GOLDEN)('judge %j by %s: %s', (said, rule, riskLevel) => {
    expect(judgeByRules(set, axiom(said))).toMatchObject({ rule, riskLevel });
  });

  it('have no rule that the signals above do not reach, and all levels', () => {
    expect([...new Set(GOLDEN.map(([, rule]) => rule))].sort()).toEqual(set.rules.map(({ id }) => id).sort());
    expect([...new Set(set.rules.map(({ riskLevel }) => riskLevel))].sort()).toEqual([...RISK_LEVELS].sort());
  });

  it('say why and what to do in several sentences', () => {
    for (const { id, narrative } of set.rules) {
      expect(narrative.split(/[.?] /).length, id).toBeGreaterThanOrEqual(2);
      expect(narrative, id).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('answer for every JSON value that a signal may hold', () => {
    const known = new Set(set.rules.map(({ id }) => id));
    const any = fc.dictionary(fc.constantFrom(...Object.keys(axiom())), fc.jsonValue());
    fc.assert(
      fc.property(fc.oneof(any, fc.jsonValue()), (said) => {
        expect(known).toContain(judgeByRules(set, said as unknown as Axiom).rule);
      }),
    );
  });

  it('have passages of 60 to 150 words about every domain and about all', () => {
    for (const { id, text } of set.passages) {
      const words = text.split(/\s+/).length;
      expect(words, id).toBeGreaterThanOrEqual(60);
      expect(words, id).toBeLessThanOrEqual(150);
    }
    const told = new Set(set.passages.flatMap(({ domains }) => (domains.length === 0 ? ['all'] : domains)));
    expect([...told].sort()).toEqual([...DOMAINS, 'all'].sort());
  });
});
