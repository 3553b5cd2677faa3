import fc from 'fast-check';
import type { Redis as RedisClient } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { IndelibleError } from '../../../journal/index.ts';
import { AXIOM_TYPE, UNKNOWN_SOURCE } from '../../../projections/index.ts';
import { AXIOMS, AXIOMS_HIGH, COMPLIANCE_GROUP, pendingSummary } from '../../../src/cluster/redis/index.ts';
import { countBySource, manySignals, signals, verdicts } from '../../compliance/judging-lab.ts';
import { errorOf, readInMemory } from '../../support/journal-lab.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { AxiomLab, STREAMS } from './axiom-lab.ts';

type Publish = AxiomLab['publish'];

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('signals of the streams', () => {
  let server: RedisServer;
  let lab: AxiomLab;
  beforeAll(async () => {
    server = await RedisServer.start({ appendonly: true });
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    lab = await AxiomLab.open(server);
    await lab.redis.flushall();
  });
  afterEach(() => lab.dispose());

  const mixed = (prefix: string) => [...manySignals(`${prefix}low`, 40), ...manySignals(`${prefix}high`, 8, 0.9)];
  const pendingOf = async () => {
    const counts = await Promise.all(
      STREAMS.map((stream) => pendingSummary(lab.redis, stream, COMPLIANCE_GROUP).then(({ count }) => count)),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  };
  const onceEach = async (expected: number) => {
    const all = await verdicts(lab.journals);
    expect(all).toHaveLength(expected);
    expect(new Set(countBySource(all).values())).toEqual(new Set([1]));
  };

  it('of a consumer that dies between publish and acknowledgement are judged again, and recorded once', async () => {
    const published = Promise.withResolvers<void>();
    let count = 0;
    const publish: Publish = async (entries) => {
      await lab.publish(entries);
      count += entries.length;
      // Nothing behind this ever happens.
      if (count >= 1) published.resolve();
      await new Promise(() => {});
    };
    await lab.queue.enqueue('acme', manySignals('low', 40));
    const dead = await lab.started({ publish });
    await published.promise;
    await lab.stop(dead);
    expect(await pendingOf()).toBe(40);
    const other = await lab.consumer();
    expect(await lab.reclaim(other, 'worker-2')).toBe(40);
    await lab.idle();
    expect(lab.published).toHaveLength(2);
    await onceEach(40);
  });

  it('that were given to an earlier process of the same name are left to the reclaimer', async () => {
    await lab.queue.enqueue('acme', mixed('a'));
    const dead = await lab.started({ consumer: 'same', publish: () => new Promise(() => {}) });
    await vi.waitFor(async () => expect(await pendingOf()).toBe(48));
    await lab.stop(dead);
    const again = await lab.started({ consumer: 'same' });
    await lab.queue.enqueue('acme', manySignals('new', 1));
    await vi.waitFor(() => expect(again.judged).toHaveLength(1));
    expect(await pendingOf()).toBe(48);
    expect(await lab.reclaim(again, 'same')).toBe(48);
    await lab.idle();
    await onceEach(49);
  });

  it('are neither lost nor acknowledged while the journals do not take them', async () => {
    let isAway = true;
    const publish: Publish = async (entries) => {
      if (isAway) throw new IndelibleError('unavailable', 'the stream is full', { retryAfterS: 1 });
      await lab.publish(entries);
    };
    const heard = await lab.started({ publish });
    await lab.queue.enqueue('acme', mixed('a'));
    await vi.waitFor(() => expect(heard.said).toContain('failed'));
    expect(await pendingOf()).toBe(48);
    isAway = false;
    await lab.idle();
    await onceEach(48);
    expect(heard.said.filter((line) => !line.startsWith('made'))).toEqual(['failed', 'recovered']);
  });

  it('that the journals refuse are told of, and stay for whoever takes them over', async () => {
    const publish: Publish = async () => {
      throw new Error('a fault of ours');
    };
    const heard = await lab.started({ publish });
    await lab.queue.enqueue('acme', mixed('a'));
    await vi.waitFor(() => expect(heard.said).toContain('not handled: Error: a fault of ours'));
    await vi.waitFor(() => expect(heard.failures).toHaveLength(8));
    expect(await pendingOf()).toBe(48);
    await lab.stop(heard);
    const other = await lab.consumer();
    await lab.reclaim(other, 'other');
    await lab.idle();
    await onceEach(48);
  });

  it('wait while Redis is away, which is told once', async () => {
    const heard = await lab.started();
    await lab.queue.enqueue('acme', mixed('a'));
    await lab.idle();
    await server.kill();
    await vi.waitFor(() => expect(heard.said).toContain('failed'), 20_000);
    expect((await errorOf(lab.queue.enqueue('acme', mixed('b')))).kind).toBe('unavailable');
    await server.startAgain();
    await vi.waitFor(() => expect(heard.said).toContain('recovered'), 20_000);
    await lab.queue.enqueue('acme', mixed('c'));
    await lab.idle();
    await onceEach(96);
    expect(heard.said.filter((line) => line === 'failed')).toHaveLength(1);
  }, 60_000);

  it('go on where Redis has lost its groups, which are made again', async () => {
    const heard = await lab.started();
    await lab.queue.enqueue('acme', mixed('a'));
    await lab.idle();
    await lab.redis.flushall();
    await lab.queue.enqueue('acme', mixed('b'));
    await lab.idle();
    await onceEach(96);
    expect(heard.said.filter((line) => line.startsWith('made'))).toEqual([
      `made ${AXIOMS_HIGH} false`,
      `made ${AXIOMS} false`,
      `made ${AXIOMS_HIGH} true`,
      `made ${AXIOMS} true`,
    ]);
  });

  it('in hand do not seem idle, however long they take, and were delivered once', async () => {
    const consumer = 'slow';
    await lab.started({ consumer, publish: () => new Promise(() => {}), touchMs: 20 });
    await lab.queue.enqueue('acme', manySignals('low', 1));
    await vi.waitFor(async () => expect(await pendingOf()).toBe(1));
    type Row = [id: string, consumer: string, idleMs: number, deliveries: number];
    const row = async () => {
      const [only] = (await lab.redis.xpending(AXIOMS, COMPLIANCE_GROUP, '-', '+', 10)) as Row[];
      return only as Row;
    };
    const [id] = await row();
    const longMs = 3_600_000;
    const { redis } = lab as { redis: RedisClient };
    await redis.xclaim(AXIOMS, COMPLIANCE_GROUP, consumer, 0, id, 'IDLE', longMs, 'JUSTID');
    await vi.waitFor(async () => expect((await row())[2]).toBeLessThan(longMs));
    expect(await row()).toMatchObject([id, consumer, expect.any(Number), 1]);
  });

  it('get one verdict each, whatever fails in between and whoever takes them over', async () => {
    const said = fc.record({
      source_id: fc.constantFrom(UNKNOWN_SOURCE, 'a', 'b', 'c', 'd', 'e', 'f', 'g'),
      anomaly_score: fc.constantFrom(0.1, 0.7999, 0.8, 0.95),
      metric_value: fc.integer({ min: 0, max: 3 }),
    });
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.array(said, { minLength: 1, maxLength: 12 }) },
      { weight: 2, arbitrary: fc.constantFrom('restart', 'die before publish', 'die after publish', 'forget', 'wait') },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 12 }), async (steps) => {
        const own = await AxiomLab.open(server);
        await own.redis.flushall();
        try {
          let now: 'lives' | 'dies before' | 'dies after' = 'lives';
          const publish: Publish = async (entries) => {
            if (now === 'dies before') await new Promise(() => {});
            await own.publish(entries);
            if (now === 'dies after') await new Promise(() => {});
          };
          let heard = await own.started({ publish });
          const named = new Set<string>();
          let unnamed = 0;
          for (const taken of steps) {
            if (Array.isArray(taken)) {
              await own.queue.enqueue('acme', signals(...taken));
              for (const { source_id } of taken) {
                if (source_id === UNKNOWN_SOURCE) unnamed += 1;
                else named.add(source_id);
              }
              continue;
            }
            if (taken === 'wait' && now === 'lives') await own.idle();
            else if (taken === 'forget') {
              for (const key of await own.redis.keys('indelible:judged:*')) await own.redis.del(key);
            } else if (taken === 'restart') {
              await own.stop(heard);
              now = 'lives';
              heard = await own.started({ publish, consumer: 'again' });
              await own.reclaim(heard, 'again');
            } else if (taken !== 'wait') now = taken === 'die before publish' ? 'dies before' : 'dies after';
          }
          await own.stop(heard);
          now = 'lives';
          const last = await own.started({ publish, consumer: 'last' });
          await own.reclaim(last, 'last');
          await own.idle();
          const events = own.journals.has('acme') ? await readInMemory(own.journals, 'acme') : [];
          const signalsOf = (source: string) =>
            events.filter(({ entity_type, entity_id }) => entity_type === AXIOM_TYPE && entity_id === source);
          for (const source of named) expect(signalsOf(source).length).toBeGreaterThan(0);
          expect(signalsOf(UNKNOWN_SOURCE)).toHaveLength(unnamed);
          const given = events.length === 0 ? [] : await verdicts(own.journals);
          const judged = given.map(({ source_id, axiom }) =>
            source_id === UNKNOWN_SOURCE ? axiom.event_id : source_id,
          );
          const expected = [...named, ...signalsOf(UNKNOWN_SOURCE).map(({ event_id }) => event_id)];
          expect(judged.sort()).toEqual(expected.sort());
        } finally {
          await own.dispose();
        }
      }),
      { numRuns: 12 },
    );
  }, 120_000);
});
