import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import type { JournalEvent } from '../../../journal/index.ts';
import { AXIOM_TYPE, VERDICT_TYPE } from '../../../projections/index.ts';
import {
  AXIOMS,
  AXIOMS_HIGH,
  addAll,
  axiomFields,
  COMPLIANCE_GROUP,
  draftsOfJson,
  ensureGroup,
  readNew,
} from '../../../src/cluster/redis/index.ts';
import { countBySource, manySignals, signals, verdicts } from '../../compliance/judging-lab.ts';
import { readInMemory } from '../../support/journal-lab.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { AxiomLab, STREAMS } from './axiom-lab.ts';

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('signals of the streams', () => {
  let server: RedisServer;
  let lab: AxiomLab;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    lab = await AxiomLab.open(server);
    await lab.redis.flushall();
  });
  afterEach(() => lab.dispose());

  const events = (type: string, workspace = 'acme') =>
    readInMemory(lab.journals, workspace).then((all) => all.filter(({ entity_type }) => entity_type === type));
  const sources = (all: readonly JournalEvent[]) => all.map(({ entity_id }) => entity_id).sort();

  it('get one verdict each, recorded behind its signal, and are acknowledged', async () => {
    const heard = await lab.started();
    lab.journal.clock.ms += 1_000;
    await lab.queue.enqueue('acme', [...manySignals('low', 700), ...manySignals('high', 40, 0.9)]);
    await lab.queue.enqueue('beta', manySignals('low', 3));
    await lab.idle();
    const all = await verdicts(lab.journals);
    expect(new Set(countBySource(all).values())).toEqual(new Set([1]));
    expect(all).toHaveLength(740);
    expect(heard.judged).toHaveLength(743);
    const axioms = new Map((await events(AXIOM_TYPE)).map((event) => [event.event_id, event]));
    for (const { axiom, event, source_id, emitted_at } of all) {
      const signal = axioms.get(axiom.event_id);
      expect([signal?.entity_id, signal?.seq, axiom.seq]).toEqual([source_id, event.seq - 1, null]);
      expect(emitted_at).toBe('2026-11-21T08:00:01.000000Z');
    }
    expect(await events(VERDICT_TYPE, 'beta')).toHaveLength(3);
    expect([heard.failures, heard.faults, heard.repeated]).toEqual([[], [], []]);
  });

  it('go to the journals as one entry for a workspace and a round', async () => {
    await lab.queue.enqueue('acme', manySignals('a', 50));
    await lab.queue.enqueue('beta', manySignals('b', 50));
    await lab.started();
    await lab.idle();
    expect(lab.published.map(({ workspace, body }) => [workspace, draftsOfJson(body.toString()).length])).toEqual([
      ['acme', 100],
      ['beta', 100],
    ]);
    expect(
      lab.published.every(({ origin, onTaken, reply }) => origin === 'service' && onTaken === 'skip' && !reply),
    ).toBe(true);
  });

  it('with much to say are published in entries of a bounded size', async () => {
    const large = Array.from({ length: 12 }, (_, i) => ({
      ...{ source_id: `s${i}`, anomaly_score: 0.1, payload: 'x'.repeat(900_000) },
    }));
    for (const said of large) await lab.queue.enqueue('acme', signals(said));
    await lab.started();
    await lab.idle();
    expect(await verdicts(lab.journals)).toHaveLength(12);
    expect(Math.max(...lab.published.map(({ body }) => body.length))).toBeLessThan(2.2 * 1024 * 1024);
  });

  it('of one source: the first is judged, and each that says something else is kept', async () => {
    const said = [1, 2, 3, 4].map((metric_value) => ({ source_id: 's', anomaly_score: 0.1, metric_value }));
    await lab.queue.enqueue('acme', signals(...said.slice(0, 2)));
    const heard = await lab.started();
    await lab.idle();
    await lab.queue.enqueue('acme', signals(...said.slice(2, 3)));
    await lab.idle();
    // Redis has forgotten, and another consumer knows nothing of the first.
    await lab.redis.flushall();
    await lab.stop(heard);
    await lab.started();
    await lab.queue.enqueue('acme', signals({ ...said[3], anomaly_score: 0.95 }));
    await lab.idle();
    expect((await verdicts(lab.journals)).map(({ metric_value }) => metric_value)).toEqual([1]);
    expect(await events(AXIOM_TYPE)).toHaveLength(4);
    expect(heard.repeated).toEqual(['s', 's']);
  });

  it('that are the same are recorded once, however often they are sent', async () => {
    await lab.started();
    const batch = [...manySignals('low', 20), ...manySignals('high', 5, 0.9)];
    for (let times = 0; times < 3; times++) await lab.queue.enqueue('acme', batch);
    await lab.idle();
    expect(sources(await events(AXIOM_TYPE))).toEqual(sources(await events(VERDICT_TYPE)));
    expect(await events(AXIOM_TYPE)).toHaveLength(25);
  });

  it('without a source are all kept, and judged each by itself', async () => {
    const heard = await lab.started();
    const unknown = { anomaly_score: 0.9, metric_value: 5 };
    await lab.queue.enqueue('acme', signals(unknown, unknown, { ...unknown, anomaly_score: 0.1 }));
    await lab.queue.enqueue('acme', signals({ ...unknown, source_id: 'unknown' }));
    await lab.idle();
    const axioms = await events(AXIOM_TYPE);
    const judged = (await verdicts(lab.journals)).map(({ axiom }) => axiom.event_id);
    expect(judged.sort()).toEqual(axioms.map(({ event_id }) => event_id).sort());
    expect(judged).toHaveLength(4);
    expect(heard.repeated).toEqual([]);
  });

  it('that cannot be read are dead letters, and hold up nobody', async () => {
    const [draft] = signals({ source_id: 's', anomaly_score: 0.1 });
    const message = { workspace: 'acme', draft: { ...draft, event_id: 'e' } as never, acceptedMs: 1 };
    const fields = axiomFields(message);
    const bad = [
      { ...fields, v: '2' },
      { ...fields, workspace: '../acme' },
      { ...fields, draft: '{' },
      { ...fields, draft: JSON.stringify({ ...(message.draft as object), entity_type: 'file' }) },
      { ...fields, draft: JSON.stringify({ ...(message.draft as object), new_value: '{' }) },
      { ...fields, draft: JSON.stringify({ ...(message.draft as object), new_value: '{"anomaly_score":"0.5"}' }) },
      { ...fields, draft: JSON.stringify({ ...(message.draft as object), new_value: 'null' }) },
    ];
    await addAll(
      lab.redis,
      [...bad, fields].map((each) => ({ stream: AXIOMS, fields: each })),
    );
    await lab.started();
    await lab.idle();
    const { letters } = await lab.letters.list({ cursor: undefined, limit: 100 });
    expect(letters.map(({ reason }) => reason)).toEqual([
      'v is not 1',
      'workspace is not the name of a workspace',
      'draft is not JSON',
      'its entity_type is not indelible.axiom',
      'its new_value is not JSON',
      'its anomaly_score is not a number',
      'its new_value is not JSON',
    ]);
    expect(letters.every(({ kind, stream }) => kind === 'malformed' && stream === AXIOMS)).toBe(true);
    expect(sources(await events(VERDICT_TYPE))).toEqual(['s']);
  });

  it('over the threshold go first, however many others came before', async () => {
    for (let at = 0; at < 10; at++) await lab.queue.enqueue('acme', manySignals(`low${at}-`, 500));
    await lab.queue.enqueue('acme', manySignals('high', 1, 0.9));
    await lab.started({ readCount: () => 10 });
    await lab.idle();
    const all = (await events(VERDICT_TYPE)).map(({ entity_id }) => entity_id);
    expect(all).toHaveLength(5_001);
    expect(all.indexOf('high0')).toBeLessThan(2_500);
  });

  it('are shared by consumers, and each gets its verdict from one of them', async () => {
    const both = [await lab.started(), await lab.started()];
    for (let at = 0; at < 20; at++)
      await lab.queue.enqueue('acme', [...manySignals(`low${at}-`, 300), ...manySignals(`high${at}-`, 10, 0.9)]);
    await lab.idle();
    const all = await verdicts(lab.journals);
    expect(all).toHaveLength(6_200);
    expect(new Set(countBySource(all).values())).toEqual(new Set([1]));
    const [one = 0, two = 0] = both.map(({ judged }) => judged.length);
    expect(one + two).toBe(6_200);
    expect(Math.min(one, two)).toBeGreaterThan(0);
    for (const { failures, faults } of both) expect([failures, faults]).toEqual([[], []]);
  });

  it('of one source at two consumers at once get one verdict', async () => {
    // Neither publishes before both have begun: neither can know of the other's.
    const gate = Promise.withResolvers<void>();
    let waiting = 0;
    const publish = async (entries: Parameters<typeof lab.publish>[0]) => {
      waiting += 1;
      if (waiting === 2) gate.resolve();
      await gate.promise;
      await lab.publish(entries);
    };
    for (const metric_value of [1, 2])
      await lab.queue.enqueue('acme', signals({ source_id: 's', anomaly_score: 0.1, metric_value }));
    await ensureGroup(lab.redis, AXIOMS, COMPLIANCE_GROUP);
    const read = async (consumer: string) => {
      const asked = { streams: [AXIOMS], group: COMPLIANCE_GROUP, consumer, count: 1 };
      return (await readNew(lab.redis, asked)).get(AXIOMS) ?? [];
    };
    const both = [await lab.consumer({ publish }), await lab.consumer({ publish })];
    const entries = [await read('worker-1'), await read('worker-2')];
    await Promise.all(both.map(({ consumer }, index) => consumer.handle(entries[index] ?? [], AXIOMS)));
    expect(lab.published.map(({ body }) => draftsOfJson(body.toString()).length)).toEqual([2, 2]);
    expect(await verdicts(lab.journals)).toHaveLength(1);
    expect(await events(AXIOM_TYPE)).toHaveLength(2);
  });

  it('are read no more at once than is said', async () => {
    const counts: number[] = [];
    const readCount = (max: number) => {
      counts.push(max);
      return 7;
    };
    await lab.queue.enqueue('acme', manySignals('low', 30));
    await lab.started({ readCount });
    await lab.idle();
    expect(new Set(counts)).toEqual(new Set([256]));
    expect(Math.max(...lab.published.map(({ body }) => draftsOfJson(body.toString()).length))).toBeLessThanOrEqual(60);
    expect(await lab.redis.xlen(AXIOMS)).toBe(30);
  });

  it('lie in the stream of their score, and are all there or none', async () => {
    await lab.queue.enqueue(
      'acme',
      signals(
        { source_id: 'below', anomaly_score: 0.7999 },
        { source_id: 'at', anomaly_score: 0.8 },
        { source_id: 'over', anomaly_score: 7 },
        { anomaly_score: 0.1 },
      ),
    );
    const lengths = await Promise.all(STREAMS.map((stream) => lab.redis.xlen(stream)));
    expect([STREAMS, lengths]).toEqual([
      [AXIOMS_HIGH, AXIOMS],
      [2, 2],
    ]);
  });
});
