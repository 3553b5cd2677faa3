import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { existsSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { hasRedisServer } from '../../scripts/redis-server.mjs';
import { journalStream, type Redis, readNew, JOURNAL_CONSUMER, JOURNAL_GROUP } from '../../src/cluster/redis/index.ts';
import { ClusterLab } from '../support/cluster-lab.ts';
import type { StoreFault } from '../support/faulty-store.ts';
import { drafts, SeededRandom } from '../support/journal-lab.ts';
import { RedisLab } from '../support/redis-lab.ts';
import { RedisServer } from '../support/redis-server.ts';
import {
  committedIds,
  entryOf,
  queue,
  settled,
  TermHost,
  type TermRun,
  until,
  workspaceIn,
} from '../support/term-lab.ts';

const PARTITION = 3;

const names = (prefix: string, count: number) => drafts(prefix, count).map(({ event_id }) => event_id as string);

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('a term', () => {
  const connections = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let lab: ClusterLab;
  let host: TermHost;
  let token = 0;
  let open: TermRun[];

  beforeAll(async () => {
    server = await RedisServer.start({ appendonly: true });
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    redis = await connections.ready(server.url);
    await (redis as { flushall(): Promise<unknown> }).flushall();
    lab = new ClusterLab(server);
    host = await TermHost.open(lab);
    open = [];
  });
  afterEach(async () => {
    for (const { term } of open) await term.abandon();
    await host.close();
    await lab.dispose();
    connections.dispose();
  });

  const begin = () => {
    token += 1;
    const run = host.begin(PARTITION, token);
    open.push(run);
    return run;
  };

  describe('while the store fails', () => {
    /** Another process, whose files are not in the cache of this one. */
    let elsewhere: TermHost;
    beforeEach(async () => {
      elsewhere = await TermHost.open(lab);
    });
    afterEach(() => elsewhere.close());

    /**
     * What a term asks of the store: it takes over a journal that has events and makes one, looks up ids that are taken,
     * seals both, and again.
     */
    const scenario = async (round: string): Promise<() => Promise<void>> => {
      const [old, made] = [workspaceIn(PARTITION, `old-${round}`), workspaceIn(PARTITION, `made-${round}`)];
      const before = elsewhere.begin(PARTITION, ++token);
      // Two segments: one holds the head, the other ids that are asked for.
      for (const count of [2, 3]) {
        await queue(redis, PARTITION, entryOf(old, drafts('a', count)));
        await settled(redis, PARTITION);
      }
      await before.term.drain();
      await queue(redis, PARTITION, entryOf(old, [...drafts('a', 3), ...drafts('b', 3)]), 700);
      await queue(redis, PARTITION, entryOf(made, drafts('m', 2)));
      await queue(redis, PARTITION, entryOf(old, [...drafts('b', 3), ...drafts('a', 1)]));
      const run = begin();
      await settled(redis, PARTITION);
      await queue(redis, PARTITION, entryOf(made, [...drafts('m', 1), ...drafts('n', 2)]));
      await queue(redis, PARTITION, entryOf(old, drafts('c', 1)));
      await settled(redis, PARTITION);
      host.store.decide = () => undefined;
      await run.term.drain();
      return async () => {
        expect(run.failures).toEqual([]);
        expect(run.letters).toEqual([]);
        const expected = [...names('a', 3), ...names('b', 3), ...names('c', 1)];
        expect(await committedIds(host.node, old)).toEqual(expected);
        expect(await committedIds(host.node, made)).toEqual([...names('m', 2), ...names('n', 2)]);
      };
    };

    it.each(['not-applied', 'applied'] as StoreFault[])(
      'at every call in turn, %s: each event once, in order, and nothing is left to do',
      async (fault) => {
        const seen: string[] = [];
        host.store.decide = (call, _index, key) => {
          seen.push(`${call} ${key}`);
          return undefined;
        };
        await (await scenario('whole'))();
        const count = seen.length;
        expect(count).toBeGreaterThan(20);
        expect(new Set(seen.map((call) => call.split(' ')[0]))).toContain('download');
        for (let at = 0; at < count; at++) {
          let calls = 0;
          host.store.decide = () => (calls++ === at ? fault : undefined);
          const check = await scenario(`r${at}`);
          expect(calls, `call ${at}`).toBeGreaterThan(at);
          await check();
        }
      },
      120_000,
    );

    it('at random calls, both forms, over and over', async () => {
      const random = new SeededRandom('term faults');
      const acme = workspaceIn(PARTITION, 'acme');
      const run = begin();
      const expected: string[] = [];
      for (let round = 0; round < 15; round++) {
        host.store.decide = () => (['applied', 'not-applied'] as const)[random.below(12)];
        await queue(redis, PARTITION, entryOf(acme, [...drafts(`r${round - 1}-`, 3), ...drafts(`r${round}-`, 3)]));
        if (round === 0) expected.push(...names('r-1-', 3));
        expected.push(...names(`r${round}-`, 3));
        if (round % 3 === 0) await settled(redis, PARTITION);
      }
      host.store.decide = () => undefined;
      await settled(redis, PARTITION);
      expect(await committedIds(host.node, acme)).toEqual(expected);
      expect([run.failures, run.letters]).toEqual([[], []]);
    });

    it('for long takes no more than it may keep, and goes on where it was', async () => {
      await host.close();
      host = await TermHost.open(lab, { walBytesMax: 20_000, flushBytes: 4_000 });
      const acme = workspaceIn(PARTITION, 'acme');
      host.store.decide = (call) => (call === 'putFile' ? 'not-applied' : undefined);
      const run = begin();
      const expected: string[] = [];
      for (let at = 0; at < 100; at++) {
        await queue(redis, PARTITION, entryOf(acme, drafts(`n${at}-`, 1)));
        expected.push(`n${at}-0`);
      }
      await until(() => expect(run.waited[0]).toMatchObject({ kind: 'unavailable' }));
      expect(run.recorded).toBeLessThan(100);
      host.store.decide = () => undefined;
      await settled(redis, PARTITION);
      expect(await committedIds(host.node, acme)).toEqual(expected);
      expect([run.failures, run.letters]).toEqual([[], []]);
    });
  });

  it('whose disk takes no lines ends, and the next one records everything in its order', async () => {
    const acme = workspaceIn(PARTITION, 'acme');
    const run = begin();
    await queue(redis, PARTITION, entryOf(acme, drafts('a', 2)));
    await settled(redis, PARTITION);
    rmSync(host.tempDir, { recursive: true });
    for (let at = 0; at < 20; at++) await queue(redis, PARTITION, entryOf(acme, drafts(`n${at}-`, 3)));
    await until(() => expect(run.failures).toMatchObject([{ kind: 'unavailable' }]));
    expect(await committedIds(host.node, acme)).toEqual(names('a', 2));
    begin();
    await settled(redis, PARTITION);
    const expected = Array.from({ length: 20 }, (_, at) => names(`n${at}-`, 3)).flat();
    expect(await committedIds(host.node, acme)).toEqual([...names('a', 2), ...expected]);
  });

  it('shows a workspace to others when its journal is there, and not before', async () => {
    const acme = workspaceIn(PARTITION, 'acme');
    const named = Promise.withResolvers<void>();
    const free = Promise.withResolvers<void>();
    host.store.hold = async (call, key) => {
      if (call !== 'putIfAbsent' || !key.startsWith('_indelible/workspaces/')) return;
      named.resolve();
      await free.promise;
    };
    begin();
    await queue(redis, PARTITION, entryOf(acme, drafts('a', 2)));
    await named.promise;
    expect(await lab.store.get(`${acme}/_delta_log/${'0'.repeat(20)}.json`)).toBeDefined();
    free.resolve();
    await settled(redis, PARTITION);
    expect(await committedIds(host.node, acme)).toEqual(names('a', 2));
  });

  // reason: only Linux tells which files a process has open
  it.skipIf(!existsSync('/proc/self/fd'))('that is over leaves no file open, whatever it had not sealed', async () => {
    const acme = workspaceIn(PARTITION, 'acme');
    const openFiles = () =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(host.tempDir);
        } catch {
          // The one that the list itself was read through.
          return false;
        }
      });
    host.store.decide = (call) => (call === 'putFile' ? 'not-applied' : undefined);
    const run = begin();
    await queue(redis, PARTITION, entryOf(acme, drafts('a', 2)));
    await until(() => expect(host.sealFailures).not.toEqual([]));
    await queue(redis, PARTITION, entryOf(acme, drafts('b', 2)));
    await until(() => expect(openFiles()).toHaveLength(1));
    await run.term.abandon();
    await until(() => expect(readdirSync(host.tempDir).filter((name) => name.startsWith('term-'))).toEqual([]));
    expect(openFiles()).toEqual([]);
  });

  describe('while Redis fails', () => {
    const acme = workspaceIn(PARTITION, 'acme');

    /** Entries one after the other, each again and again until Redis has taken it: perhaps twice. */
    const send = async (prefix: string, count: number, partBytes?: number): Promise<string[]> => {
      const sent: string[] = [];
      for (let at = 0; at < count; at++) {
        const entry = entryOf(acme, drafts(`${prefix}${at}-`, 4));
        await until(() => queue(redis, PARTITION, entry, partBytes));
        sent.push(...names(`${prefix}${at}-`, 4));
      }
      return sent;
    };
    const expectAll = async (run: TermRun, sent: readonly string[]) => {
      await until(() => settled(redis, PARTITION));
      expect(await committedIds(host.node, acme)).toEqual(sent);
      expect([run.failures, run.letters, run.lost]).toEqual([[], [], []]);
    };

    it('killed and started again, over and over, records everything once, in its order', async () => {
      const random = new SeededRandom('kills');
      const run = begin();
      let sending = true;
      const kills = (async () => {
        for (let kill = 0; kill < 6 || sending; kill++) {
          const recorded = run.recorded;
          if (sending) await until(() => expect(run.recorded > recorded + random.below(12) || !sending).toBe(true));
          await server.kill();
          await server.startAgain();
        }
      })();
      const sent = await send('k', 60, 500);
      sending = false;
      await kills;
      await expectAll(run, sent);
    }, 60_000);

    it('paused, goes on when it is back', async () => {
      const run = begin();
      const sent: string[] = [];
      for (let pause = 0; pause < 3; pause++) {
        sent.push(...(await send(`p${pause}-`, 5)));
        const committed = run.committed.length;
        host.store.decide = (call) => (call === 'putFile' ? 'not-applied' : undefined);
        sent.push(...(await send(`q${pause}-`, 5)));
        await until(() => expect(run.recorded).toBe(sent.length));
        server.pause();
        host.store.decide = () => undefined;
        await until(() => expect(run.committed.length).toBeGreaterThan(committed));
        server.resume();
      }
      await expectAll(run, sent);
    });

    it('cuts connections while it reads and acknowledges: what was delivered and never arrived is read after all', async () => {
      const run = begin();
      let isOver = false;
      const cuts = (async () => {
        const killer = await connections.ready(server.url);
        while (!isOver) {
          for (const type of ['normal', 'pubsub'])
            await killer.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes').catch(() => {});
          const recorded = run.recorded;
          await until(() => expect(run.recorded > recorded || isOver).toBe(true));
        }
      })();
      const sent = await send('c', 80, 600);
      await until(() => expect(run.recorded).toBeGreaterThanOrEqual(sent.length));
      isOver = true;
      await cuts;
      await expectAll(run, sent);
    });

    it('gives entries to a reader that is late: they are noticed, and recorded in their place', async () => {
      const run = begin();
      const sent = await send('a', 2);
      await settled(redis, PARTITION);
      const late = connections.open(server.url, 'blocking');
      const steal = (count: number, blockMs?: number) =>
        readNew(late, {
          ...{ streams: [journalStream(PARTITION)], group: JOURNAL_GROUP, consumer: JOURNAL_CONSUMER },
          ...{ count, blockMs },
        });
      // Of those who wait Redis serves the one that came first: sooner or later that is the late one.
      for (let theft = 0; theft < 3; theft++) {
        let stolen = 0;
        for (let at = 0; stolen === 0; at++) {
          const waiting = steal(1, 5_000);
          sent.push(...(await send(`t${theft}-${at}-`, 3, 600)));
          stolen = (await waiting).size;
        }
      }
      await expectAll(run, sent);
    });

    it('lost the group: it is made again, and what was recorded stays recorded once', async () => {
      const run = begin();
      const sent = await send('g', 3, 600);
      await settled(redis, PARTITION);
      const before = run.made.length;
      await redis.xgroup('DESTROY', journalStream(PARTITION), JOURNAL_GROUP);
      sent.push(...(await send('h', 3)));
      await until(() => expect(run.made).toHaveLength(before + 1));
      await expectAll(run, sent);
    });

    it('lost everything: what is sent then is recorded', async () => {
      const run = begin();
      const sent = await send('g', 3);
      await settled(redis, PARTITION);
      await (redis as { flushall(): Promise<unknown> }).flushall();
      sent.push(...(await send('h', 3)));
      await expectAll(run, sent);
    });
  });
});
