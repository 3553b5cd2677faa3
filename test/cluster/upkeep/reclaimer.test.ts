import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import {
  ack,
  addAll,
  AXIOMS,
  AXIOMS_HIGH,
  COMPLIANCE_GROUP,
  ensureGroup,
  groupsOf,
  readNew,
  RECLAIMER_LOCK,
  type Redis,
  type StreamEntry,
} from '../../../src/cluster/redis/index.ts';
import { DeadLetters, Reclaimer, type ReclaimerOptions } from '../../../src/cluster/upkeep/index.ts';
import { systemRandom } from '../../../src/system.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisServer } from '../../support/redis-server.ts';

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('the reclaimer', () => {
  const lab = new RedisLab();
  const never = new AbortController().signal;
  let server: RedisServer;
  let redis: Redis;
  let letters: DeadLetters;
  let told: unknown[][];
  /** Texts of the entries that were handed over, call by call. */
  let handled: string[][];

  beforeEach(async () => {
    server = await RedisServer.start();
    redis = await lab.ready(server.url);
    letters = new DeadLetters(redis);
    told = [];
    handled = [];
    for (const stream of [AXIOMS, AXIOMS_HIGH]) await ensureGroup(redis, stream, COMPLIANCE_GROUP);
  });
  afterEach(async () => {
    lab.dispose();
    await server.remove();
  });

  const textOf = ({ fields }: StreamEntry) => String(fields.get('body'));
  const ackAll = (entries: readonly StreamEntry[], stream: string) =>
    ack(
      redis,
      stream,
      COMPLIANCE_GROUP,
      entries.map(({ id }) => id),
    );

  function reclaimer(options: Partial<ReclaimerOptions> = {}): Reclaimer {
    return new Reclaimer({
      redis,
      consumer: 'reclaimer',
      deadLetters: letters,
      random: systemRandom,
      // A real minute is not to be waited for: whatever is pending is idle enough.
      idleMs: 0,
      observer: {
        reclaimed: (...args) => told.push(['reclaimed', ...args]),
        deleted: (...args) => told.push(['deleted', ...args]),
        failed: (stream, error) => told.push(['failed', stream, (error as Error).message]),
      },
      async handle(entries, stream) {
        handled.push(entries.map(textOf));
        await ackAll(entries, stream);
      },
      ...options,
    });
  }

  /** Adds entries and has them delivered to a worker that ends without a word. */
  async function abandon(stream: string, texts: readonly string[]): Promise<string[]> {
    const ids = await addAll(
      redis,
      texts.map((body) => ({ stream, fields: { body, workspace: 'acme' } })),
    );
    await readNew(redis, { streams: [stream], group: COMPLIANCE_GROUP, consumer: 'gone', count: 1_000 });
    return ids;
  }

  const pending = async (stream: string) => (await groupsOf(redis, stream))[0]?.pending;

  test('takes over all that is idle, the urgent stream first, page by page', async () => {
    await abandon(AXIOMS, ['a', 'b', 'c', 'd', 'e']);
    await abandon(AXIOMS_HIGH, ['urgent']);
    await reclaimer({ count: 2 }).round(never);
    expect(handled).toEqual([['urgent'], ['a', 'b'], ['c', 'd'], ['e']]);
    expect([await pending(AXIOMS), await pending(AXIOMS_HIGH)]).toEqual([0, 0]);
    expect(told[0]).toEqual(['reclaimed', 'axioms-high', 1, 0]);
    expect(await redis.exists(RECLAIMER_LOCK)).toBe(0);
  });

  test('leaves alone what a worker may still be working on', async () => {
    await abandon(AXIOMS, ['a']);
    await reclaimer({ idleMs: 60_000 }).round(never);
    expect(handled).toEqual([]);
    expect(await pending(AXIOMS)).toBe(1);
  });

  test('makes dead letters of what is delivered for the sixth time, before it is handled', async () => {
    const [id] = await abandon(AXIOMS, ['poison']);
    let tries = 0;
    const round = () =>
      reclaimer({
        async handle() {
          tries += 1;
          throw new Error('it is not to be judged');
        },
      }).round(never);
    for (let at = 0; at < 4; at++) await round();
    expect([tries, await letters.depth()]).toEqual([4, 0]);
    expect(told.at(-1)).toEqual(['failed', 'axioms', 'it is not to be judged']);
    await round();
    expect([tries, await letters.depth(), await pending(AXIOMS)]).toEqual([4, 1, 0]);
    expect(told.at(-1)).toEqual(['reclaimed', 'axioms', 1, 1]);
    const [letter] = (await letters.list({ cursor: undefined, limit: 1 })).letters;
    expect(letter).toMatchObject({
      stream: AXIOMS,
      entryId: id,
      workspace: 'acme',
      kind: 'poison',
      deliveries: 6,
      reason: 'delivered 6 times and never acknowledged',
    });
    expect(String((await letters.get(letter?.id as string)).fields.get('body'))).toBe('poison');
  });

  test('an entry that ends its process takes none of its neighbours with it', async () => {
    await abandon(AXIOMS, ['a', 'b', 'poison', 'd', 'e']);
    // A process that ends does nothing more: neither what it was given with the entry, nor what comes behind it.
    for (let at = 0; at < 5; at++) {
      const ended = new AbortController();
      const handle: ReclaimerOptions['handle'] = async (entries, stream) => {
        if (entries.some((entry) => textOf(entry) === 'poison')) ended.abort();
        if (!ended.signal.aborted) await ackAll(entries, stream);
      };
      await reclaimer({ handle }).round(ended.signal);
    }
    expect(await pending(AXIOMS)).toBe(0);
    const { letters: found } = await letters.list({ cursor: undefined, limit: 10 });
    expect(found).toHaveLength(1);
    expect(String((await letters.get(found[0]?.id as string)).fields.get('body'))).toBe('poison');
  });

  test('goes on behind entries whose handling fails', async () => {
    await abandon(AXIOMS, ['a', 'b', 'c']);
    const handle: ReclaimerOptions['handle'] = async (entries, stream) => {
      if (textOf(entries[0] as StreamEntry) === 'a') throw new Error('not now');
      await ackAll(entries, stream);
    };
    await reclaimer({ handle, count: 1 }).round(never);
    expect(await pending(AXIOMS)).toBe(1);
    await reclaimer().round(never);
    expect(handled).toEqual([['a']]);
  });

  test('tells of entries that were deleted before they were acknowledged', async () => {
    const ids = await abandon(AXIOMS, ['a', 'b', 'c']);
    await redis.xdel(AXIOMS, ids[0] as string, ids[2] as string);
    await reclaimer().round(never);
    expect(told.filter(([what]) => what === 'deleted')).toEqual([['deleted', 'axioms', [ids[0], ids[2]]]]);
    expect(handled).toEqual([['b']]);
    expect(await pending(AXIOMS)).toBe(0);
  });

  test('one works at a time, and another takes over when it is gone', async () => {
    await abandon(AXIOMS, ['a']);
    let finish: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      const handle: ReclaimerOptions['handle'] = async (entries, stream) => {
        resolve();
        await new Promise<void>((done) => {
          finish = done;
        });
        await ackAll(entries, stream);
      };
      void reclaimer({ handle }).round(never);
    });
    await begun;
    await reclaimer().round(never);
    expect(handled).toEqual([]);
    // As if it had died: the lock expires by itself.
    expect(await redis.pttl(RECLAIMER_LOCK)).toBeGreaterThan(0);
    await redis.del(RECLAIMER_LOCK);
    await reclaimer().round(never);
    expect(handled).toEqual([['a']]);
    finish();
  });

  test('does not release a lock that another has taken meanwhile', async () => {
    await abandon(AXIOMS, ['a']);
    const handle: ReclaimerOptions['handle'] = async () => {
      await redis.set(RECLAIMER_LOCK, 'another');
    };
    await reclaimer({ handle }).round(never);
    expect(await redis.get(RECLAIMER_LOCK)).toBe('another');
  });

  test('works by itself, again and again, and recovers when Redis lost everything', async () => {
    const one = reclaimer({ intervalMs: 10 });
    one.start();
    await abandon(AXIOMS, ['a']);
    await vi.waitFor(() => expect(handled).toEqual([['a']]), { timeout: 10_000 });
    await server.kill();
    await server.startAgain();
    await vi.waitFor(() => expect(told.some(([what]) => what === 'failed')).toBe(true), { timeout: 10_000 });
    for (const stream of [AXIOMS, AXIOMS_HIGH]) await ensureGroup(redis, stream, COMPLIANCE_GROUP);
    await abandon(AXIOMS, ['b']);
    await vi.waitFor(() => expect(handled).toEqual([['a'], ['b']]), { timeout: 10_000 });
    await one.stop();
    await abandon(AXIOMS, ['c']);
    expect(await pending(AXIOMS)).toBe(1);
  });
});
