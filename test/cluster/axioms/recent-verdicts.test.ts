import { beforeEach, expect, test } from 'vitest';
import type { Verdict } from '../../../projections/index.ts';
import { RecentVerdicts } from '../../../src/cluster/axioms/recent-verdicts.ts';
import type { CachedVerdict, VerdictIndex } from '../../../src/judging/index.ts';
import { localEmbedder } from '../../../src/vectors/index.ts';
import { verdict } from '../../projections/projection-lab.ts';

const PARTITION = { embeddingModel: localEmbedder.model, policyVersion: 'p1', rule: 'leak' };
const EMPTY: VerdictIndex = { exact: () => undefined, nearest: async () => undefined };

let nowMs: number;
let recent: RecentVerdicts;
beforeEach(() => {
  nowMs = 0;
  recent = new RecentVerdicts(() => nowMs);
});

const said = (fingerprint: string, more: Partial<Verdict> = {}) =>
  verdict('s', {
    ...{ tier: 'model', fingerprint, embedding_model: localEmbedder.model, rule: 'leak', narrative: fingerprint },
    ...more,
  });
const found = (fingerprint: string, index = EMPTY, partition = PARTITION): CachedVerdict | undefined =>
  recent.inFrontOf(index).exact(partition, fingerprint);

test('the same fingerprint of the same partition is found, and the first verdict on it stays', () => {
  recent.keep(said('domain: water'), 'first');
  recent.keep(said('domain: water', { narrative: 'other' }), 'second');
  expect(found('domain: water')).toEqual({ eventId: 'first', riskLevel: 'low', narrative: 'domain: water' });
  expect(found('domain: air')).toBeUndefined();
  for (const other of [{ embeddingModel: 'm2' }, { policyVersion: 'p2' }, { rule: 'burst' }])
    expect(found('domain: water', EMPTY, { ...PARTITION, ...other })).toBeUndefined();
});

test('what the index says goes before', () => {
  const known: CachedVerdict = { eventId: 'committed', riskLevel: 'high', narrative: 'known' };
  recent.keep(said('domain: water'), 'recent');
  expect(found('domain: water', { ...EMPTY, exact: () => known })).toBe(known);
});

test('a verdict that is not to be reused is not kept', () => {
  recent.keep(said('domain: water', { tier: 'cache' }), 'a');
  recent.keep(said('domain: water', { tier: 'rules', failures: [{ tier: 'model', cause: 'timeout' }] }), 'b');
  expect(found('domain: water')).toBeUndefined();
});

test('is forgotten after ten minutes, and the oldest first where there are many', () => {
  recent.keep(said('domain: old'), 'old');
  nowMs = 600_000;
  expect(found('domain: old')).toBeDefined();
  nowMs = 600_001;
  expect(found('domain: old')).toBeUndefined();
  for (let at = 0; at < 2_001; at++) recent.keep(said(`domain: ${at}`), `${at}`);
  expect([found('domain: 0'), found('domain: 1')?.eventId, found('domain: 2000')?.eventId]).toEqual([
    undefined,
    '1',
    '2000',
  ]);
});
