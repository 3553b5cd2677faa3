import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, type TestAPI, test } from 'vitest';
import type { Axiom } from '../../projections/index.ts';
import { judgeByRules, loadPolicies, SHIPPED_POLICIES } from '../../src/policies/index.ts';
import { countsOf, historyFile } from '../e2e/histories.ts';
import { axiom } from './support.ts';

const FILE = join(dirname(historyFile('hono')), 'axioms-nab.ndjson.gz');
const isPresent = existsSync(FILE);

// reason: the signals are no part of the project; the line below says where they are looked for
const testWithSignals: TestAPI = (isPresent ? test : test.skip) as TestAPI;
if (!isPresent) console.warn(`SKIPPED: no ${FILE}; INDELIBLE_SHARED names the folder that holds data/`);

testWithSignals('every real signal over the threshold gets a verdict of the rules', async () => {
  const set = await loadPolicies(SHIPPED_POLICIES);
  const lines = gunzipSync(readFileSync(FILE)).toString().split('\n').filter(Boolean);
  const signals = lines.map((line) => axiom({ status: null, ...(JSON.parse(line) as Partial<Axiom>) }));
  expect(signals).toHaveLength(321_206);
  const verdicts = signals
    .filter(({ anomaly_score }) => anomaly_score >= set.threshold)
    .map((signal) => judgeByRules(set, signal));
  expect(Object.fromEntries(countsOf(verdicts.map(({ riskLevel }) => riskLevel)))).toEqual({
    critical: 230,
    high: 127,
    medium: 165,
    low: 13,
  });
  expect(Object.fromEntries(countsOf(verdicts.map(({ rule }) => rule)))).toEqual({
    'cloud-extreme': 135,
    'known-cause-extreme': 95,
    'ad-spend': 55,
    'traffic-sensor': 67,
    'score-extreme': 5,
    'social-surge': 143,
    'score-over-threshold': 22,
    'social-raised': 13,
  });
  expect(verdicts).toHaveLength(535);
});
