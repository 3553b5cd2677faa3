import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedisServer } from '../../scripts/redis-server.mjs';
import { isCommitted, type Redis } from '../../src/cluster/redis/index.ts';
import { ClusterLab } from '../support/cluster-lab.ts';
import { FaultyStore, type StoreCall } from '../support/faulty-store.ts';
import { drafts, readAll } from '../support/journal-lab.ts';
import { RedisLab } from '../support/redis-lab.ts';
import { RedisServer } from '../support/redis-server.ts';
import {
  committedEvents,
  entryOf,
  queue,
  settled,
  TermHost,
  type TermRun,
  until,
  workspaceIn,
} from '../support/term-lab.ts';

const PARTITION = 0;
const acme = workspaceIn(PARTITION, 'acme');
const beta = workspaceIn(PARTITION, 'beta');

const names = (prefix: string, count: number) => drafts(prefix, count).map(({ event_id }) => event_id);

type Moment = { name: string; at(call: StoreCall, key: string): boolean };
const isCommit = (call: StoreCall, key: string, workspace: string) =>
  call === 'putIfAbsent' && key.startsWith(`${workspace}/_delta_log/`);

/** Where a writer stands still before the store hears of it. */
const moments: Moment[] = [
  { name: 'before it takes a journal over', at: (call, key) => isCommit(call, key, acme) },
  { name: 'before it puts a segment', at: (call) => call === 'putFile' },
  { name: 'before it commits', at: (call, key) => isCommit(call, key, acme) },
];

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('two writers of one partition', () => {
  const connections = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let lab: ClusterLab;
  let first: TermHost;
  let second: TermHost;
  let open: TermRun[];
  let token = 0;
  /** What the first writer waits for at its moment, and how to know that it does. */
  let gate: { reached: PromiseWithResolvers<void>; free: PromiseWithResolvers<void> };

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    redis = await connections.ready(server.url);
    await (redis as { flushall(): Promise<unknown> }).flushall();
    lab = new ClusterLab(server);
    first = await TermHost.open(lab);
    second = await TermHost.open(lab);
    open = [];
    gate = { reached: Promise.withResolvers(), free: Promise.withResolvers() };
  });
  afterEach(async () => {
    gate.free.resolve();
    for (const { term } of open) await term.abandon();
    await first.close();
    await second.close();
    await lab.dispose();
    connections.dispose();
  });

  const begin = (host: TermHost) => {
    token += 1;
    const run = host.begin(PARTITION, token);
    open.push(run);
    return run;
  };
  const add = (workspace: string, prefix: string, count: number) =>
    queue(redis, PARTITION, entryOf(workspace, drafts(prefix, count)));
  /** From now on the host stands still at these calls: nothing of it happens before `gate.free`. */
  const standStill = (host: TermHost, at: Moment['at']) => {
    host.store.hold = async (call, key) => {
      if (!at(call, key)) return;
      gate.reached.resolve();
      await gate.free.promise;
    };
  };
  const idsOf = async (workspace: string) => (await committedEvents(second.node, workspace)).map((e) => e.event_id);
  const isFenced = { kind: 'fenced', message: expect.stringContaining('has taken over') };

  describe.each([
    { journal: 'a new journal', before: 0 },
    { journal: 'a journal with events', before: 2 },
  ])('of $journal', ({ before }) => {
    it.each(moments)('of which the first stood still $name commits nothing any more, and says so', async (moment) => {
      if (before > 0) {
        const earlier = begin(second);
        await add(acme, 'before', before);
        await settled(redis, PARTITION);
        await earlier.term.drain();
      }
      const late = begin(first);
      const isTakeOver = moment === moments[0];
      if (!isTakeOver) {
        await add(acme, 'opened', 1);
        await settled(redis, PARTITION);
      }
      standStill(first, moment.at);
      await add(acme, 'a', 3);
      await gate.reached.promise;
      const next = begin(second);
      await add(acme, 'b', 3);
      await add(beta, 'c', 2);
      const last = await add(acme, 'd', 1);
      await settled(redis, PARTITION);
      const opened = isTakeOver ? [] : names('opened', 1);
      const expected = [...names('before', before), ...opened, ...names('a', 3), ...names('b', 3), ...names('d', 1)];
      expect(await idsOf(acme)).toEqual(expected);
      const committed = late.committed.length;
      gate.free.resolve();
      await until(() => expect(late.failures).toMatchObject([isFenced]));
      if (!isTakeOver) await until(() => expect(first.sealFailures[0]).toMatchObject(isFenced));
      expect(late.committed).toHaveLength(committed);
      // The one that is right goes on.
      await add(acme, 'e', 2);
      await settled(redis, PARTITION);
      expect(await idsOf(acme)).toEqual([...expected, ...names('e', 2)]);
      expect(await idsOf(beta)).toEqual(names('c', 2));
      expect(await isCommitted(redis, PARTITION, last)).toBe(true);
      expect([next.failures, late.letters, next.letters]).toEqual([[], [], []]);
    });
  });

  it('of which the first commits just before the second takes the journal over: that commit stands', async () => {
    const late = begin(first);
    await add(acme, 'opened', 1);
    await settled(redis, PARTITION);
    standStill(first, (call, key) => isCommit(call, key, acme));
    await add(acme, 'a', 3);
    await gate.reached.promise;
    // The second has read the table, and is about to take it over.
    const atTakeOver = Promise.withResolvers<void>();
    const takeOver = Promise.withResolvers<void>();
    second.store.hold = async (call, key) => {
      if (!isCommit(call, key, acme)) return;
      atTakeOver.resolve();
      await takeOver.promise;
    };
    const next = begin(second);
    await add(acme, 'b', 2);
    await atTakeOver.promise;
    gate.free.resolve();
    await until(() => expect(late.committed).toHaveLength(2));
    takeOver.resolve();
    await settled(redis, PARTITION);
    expect(await idsOf(acme)).toEqual([...names('opened', 1), ...names('a', 3), ...names('b', 2)]);
    await add(acme, 'c', 1);
    await settled(redis, PARTITION);
    expect(await idsOf(acme)).toEqual([...names('opened', 1), ...names('a', 3), ...names('b', 2), ...names('c', 1)]);
    expect([next.failures, next.letters]).toEqual([[], []]);
  });

  it.each([
    ['before its acknowledgement', 'acknowledge'],
    ['with the answer to its commit on the way', 'answer'],
  ])('of which the first stood still after its commit, %s: the events stand once', async (_, where) => {
    const late = begin(first);
    await add(acme, 'opened', 1);
    await settled(redis, PARTITION);
    const reached = Promise.withResolvers<void>();
    if (where === 'answer') {
      const putIfAbsent = first.store.putIfAbsent.bind(first.store);
      first.store.putIfAbsent = async (key, bytes) => {
        const outcome = await putIfAbsent(key, bytes);
        reached.resolve();
        await gate.free.promise;
        return outcome;
      };
    } else {
      // Between the commit and SET committed, XACK: none of its commands gets through.
      const commands = late.commands as unknown as { sendCommand(...args: unknown[]): unknown };
      const send = commands.sendCommand.bind(commands);
      commands.sendCommand = (...args) => {
        const [command] = args as [{ name: string; promise: Promise<unknown> }];
        if (command.name !== 'eval' && command.name !== 'xack') return send(...args);
        reached.resolve();
        void gate.free.promise.then(() => send(...args));
        return command.promise;
      };
    }
    const last = await add(acme, 'a', 3);
    await reached.promise;
    expect(await isCommitted(redis, PARTITION, last)).toBe(false);
    const next = begin(second);
    const newer = await add(acme, 'b', 2);
    await settled(redis, PARTITION);
    const expected = [...names('opened', 1), ...names('a', 3), ...names('b', 2)];
    expect(await idsOf(acme)).toEqual(expected);
    gate.free.resolve();
    await until(() => expect(late.committed.length).toBeGreaterThan(1));
    // It acknowledges what is acknowledged, and moves the position back for nobody.
    await late.term.drain();
    expect(await isCommitted(redis, PARTITION, newer)).toBe(true);
    await add(acme, 'c', 1);
    await settled(redis, PARTITION);
    expect(await idsOf(acme)).toEqual([...expected, ...names('c', 1)]);
    expect([next.failures, late.letters, next.letters]).toEqual([[], [], []]);
  });

  it('that both wake up, the later one first: the earlier one is fenced by whoever is before it', async () => {
    const late = begin(first);
    await add(acme, 'opened', 1);
    await settled(redis, PARTITION);
    standStill(first, (call) => call === 'putFile');
    await add(acme, 'a', 3);
    await gate.reached.promise;
    const free = Promise.withResolvers<void>();
    second.store.hold = (call) => (call === 'putFile' ? free.promise : Promise.resolve());
    const next = begin(second);
    await add(acme, 'b', 2);
    await until(() => expect(next.recorded).toBe(5));
    // The journal is taken over, and nothing committed yet.
    gate.free.resolve();
    await until(() => expect(late.failures).toMatchObject([isFenced]));
    expect(await idsOf(acme)).toEqual(names('opened', 1));
    free.resolve();
    await settled(redis, PARTITION);
    expect(await idsOf(acme)).toEqual([...names('opened', 1), ...names('a', 3), ...names('b', 2)]);
    expect([next.failures, next.letters]).toEqual([[], []]);
  });

  it('of which the first reads on, not knowing that it is late: what it was given is recorded once, in its place', async () => {
    const late = begin(first);
    await add(acme, 'opened', 1);
    await settled(redis, PARTITION);
    standStill(first, (call) => call === 'putFile');
    await add(acme, 'a', 1);
    await gate.reached.promise;
    const next = begin(second);
    const expected = [...names('opened', 1), ...names('a', 1)];
    for (let at = 0; at < 20; at++) {
      await add(acme, `n${at}-`, 2);
      expected.push(...names(`n${at}-`, 2));
    }
    // It reads as the same consumer: some of these are given to it, as Redis pleases.
    await settled(redis, PARTITION);
    expect(await idsOf(acme)).toEqual(expected);
    expect(late.recorded).toBeGreaterThan(2);
    gate.free.resolve();
    await until(() => expect(late.failures).toMatchObject([isFenced]));
    expect(await idsOf(acme)).toEqual(expected);
    expect([next.failures, late.letters, next.letters]).toEqual([[], [], []]);
  });
});

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('a worker that loses its leases without a word', () => {
  it('is followed by another, and is fenced when it comes back', async () => {
    const server = await RedisServer.start();
    const lab = new ClusterLab(server);
    try {
      const store = new FaultyStore(lab.store);
      const late = await lab.open({ store, leaseMs: 600 });
      await late.journals.append(acme, drafts('a', 2), { ack: 'committed', create: true });
      const reached = Promise.withResolvers<void>();
      const free = Promise.withResolvers<void>();
      store.hold = async (call) => {
        if (call !== 'putFile') return;
        reached.resolve();
        await free.promise;
      };
      const queued = await late.journals.queue.enqueue(acme, drafts('b', 3));
      await reached.promise;
      late.vanish();
      const next = await lab.open({ leaseMs: 600 });
      await next.journals.reached(acme, queued.position);
      await next.journals.append(acme, drafts('c', 2), { ack: 'committed', create: true });
      free.resolve();
      await until(() => expect(late.sealFailures).toMatchObject([{ kind: 'fenced' }]));
      await next.journals.append(acme, drafts('d', 1), { ack: 'committed', create: true });
      await next.journals.look(acme);
      const ids = (await readAll(next.journals, acme)).map(({ event_id }) => event_id);
      expect(ids).toEqual([...names('a', 2), ...names('b', 3), ...names('c', 2), ...names('d', 1)]);
      expect([...late.letters, ...next.letters]).toEqual([]);
    } finally {
      await lab.dispose();
      await server.remove();
    }
  });
});
