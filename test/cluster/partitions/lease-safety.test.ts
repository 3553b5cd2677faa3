import { fork } from 'node:child_process';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Lease } from '../../../src/cluster/partitions/leases.ts';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { RedisServer } from '../../support/redis-server.ts';
import { connect, eventually, LeaseLab, type LabWorker, spreadOf } from './lease-lab.ts';
import { StallingProxy } from './stalling-proxy.ts';

let server: RedisServer;
let lab: LeaseLab;
const proxies: StallingProxy[] = [];

async function proxied(): Promise<StallingProxy> {
  const proxy = await StallingProxy.start(server.port);
  proxies.push(proxy);
  return proxy;
}

const reasons = (worker: LabWorker) => worker.heard.filter((said) => said.startsWith('lost'));

// reason: there is no redis-server 7 or newer; where CI is set the run has failed before.
describe.skipIf(!hasRedisServer())('no two workers hold a partition', () => {
  beforeEach(async () => {
    server = await RedisServer.start();
    lab = new LeaseLab(server.url);
  });
  afterEach(async () => {
    for (const proxy of proxies) proxy.move();
    await lab.dispose();
    for (const proxy of proxies.splice(0)) await proxy.close();
    await server.remove();
  });

  const restart = () => server.kill().then(() => server.startAgain());
  it.each([
    ['was emptied', async () => {}, (worker: LabWorker) => worker.redis.flushall()],
    ['was started again without its data', async () => {}, restart],
    ['was started again with data that is too old', (worker: LabWorker) => worker.redis.save(), restart],
  ])('when Redis %s, and the holder cannot hear of it', async (_title, save, lose) => {
    const network = await proxied();
    const options = { partitions: 1, leaseMs: 2_000 };
    const before = lab.start('before', options);
    await eventually(() => expect(spreadOf(before)).toEqual([1]));
    await before.leases.stop();
    await save(before);
    const a = lab.start('a', { ...options, url: network.url });
    await eventually(() => expect(spreadOf(a)).toEqual([1]));
    const b = lab.start('b', options);
    await eventually(() => expect(b.redis.status).toBe('ready'));
    network.stall();
    await lose(b);
    expect(spreadOf(a, b)).toEqual([1, 0]);
    await eventually(() => expect(spreadOf(b)).toEqual([1]));
    expect(reasons(a)).toEqual(['lost 0 expired']);
    expect(lab.referee.faults).toEqual([]);
  });

  it('by a renewal that took its time: it counts from when it was sent', async () => {
    let nowMs = 0;
    const network = await proxied();
    const a = lab.start('a', { partitions: 1, leaseMs: 1_500, url: network.url, monotonicMs: () => nowMs });
    await eventually(() => expect(spreadOf(a)).toEqual([1]));
    const lease = a.held.get(0) as Lease;
    network.stall();
    await eventually(() => expect(network.holdsBack).toBe(true));
    nowMs = 1_000;
    network.move();
    // Its answer comes after that of the renewal.
    await a.redis.ping();
    await setImmediate();
    nowMs = 1_349;
    expect(a.leases.holds(lease)).toBe(true);
    nowMs = 1_350;
    expect(a.leases.holds(lease)).toBe(false);
  });

  it('when one saw that there never was a holder, and then there was', async () => {
    const [networkA, networkB] = [await proxied(), await proxied()];
    const options = { partitions: 1, leaseMs: 2_000 };
    const b = lab.start('b', {
      ...{ ...options, url: networkB.url },
      // When it asks the store: what it sends to Redis after the answer comes late.
      prepare: ({ store }) => {
        store.hold = async () => networkB.stall();
      },
    });
    await eventually(() => expect(b.store.calls).toHaveLength(1));
    const a = lab.start('a', { ...options, url: networkA.url });
    await eventually(() => expect(spreadOf(a)).toEqual([1]));
    networkA.stall();
    const redis = connect(server.url);
    await redis.flushall();
    redis.disconnect();
    b.store.hold = async () => {};
    networkB.move();
    // It has claimed a token, too high to be the first.
    await eventually(() => expect(b.store.calls.filter(({ call }) => call === 'putIfAbsent')).toHaveLength(1));
    expect(spreadOf(a, b)).toEqual([1, 0]);
    await eventually(() => expect(spreadOf(b)).toEqual([1]));
    expect(lab.referee.grants.map(({ worker, lease }) => [worker.name, lease.token])).toEqual([
      ['a', 1],
      ['b', 3],
    ]);
    expect(lab.referee.faults).toEqual([]);
  });

  it('and who holds one keeps it when Redis was emptied', async () => {
    const a = lab.start('a');
    const b = lab.start('b');
    await eventually(() => expect(spreadOf(a, b)).toEqual([3, 3]));
    await a.redis.flushall();
    await eventually(async () => expect(await a.redis.dbsize()).toBeGreaterThan(6));
    const c = lab.start('c');
    await eventually(() => expect(spreadOf(a, b, c)).toEqual([2, 2, 2]));
    expect([...reasons(a), ...reasons(b)].filter((said) => !said.endsWith('given-up'))).toEqual([]);
    expect(lab.referee.faults).toEqual([]);
  });

  it('when a process is stopped for longer than its lease, and wakes', async () => {
    const script = fileURLToPath(new URL('./lease-child.ts', import.meta.url));
    const child = fork(script, [JSON.stringify({ url: server.url, storeDir: join(lab.dir, 'store') })]);
    const said: { type: string; lastNs?: string; reason?: string }[] = [];
    child.on('message', (message) => void said.push(message as { type: string }));
    const exited = new Promise((resolve) => child.once('exit', resolve));
    try {
      await eventually(() => expect(said).toEqual([{ type: 'held', token: 1 }]));
      child.kill('SIGSTOP');
      let gainedNs = 0n;
      const b = lab.start('b', {
        partitions: 1,
        prepare: (worker) => {
          worker.onGained = () => {
            gainedNs = process.hrtime.bigint();
          };
        },
      });
      await eventually(() => expect(spreadOf(b)).toEqual([1]));
      child.kill('SIGCONT');
      await eventually(() => expect(said.at(-1)).toEqual({ type: 'lost', reason: 'expired' }));
      child.send('when');
      await eventually(() => expect(said.at(-1)?.type).toBe('was-held'));
      const lastHeldNs = BigInt(said.at(-1)?.lastNs ?? 0);
      expect(lastHeldNs).toBeGreaterThan(0n);
      expect(lastHeldNs).toBeLessThan(gainedNs);
      expect([...b.held.values()]).toEqual([{ partition: 0, token: 2 }]);
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  });

  it('whatever happens to them, to the network and to Redis', { timeout: 120_000 }, async () => {
    const who = fc.nat(3);
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('stall', 'move', 'stop', 'leap', 'fail'), who }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constantFrom('pause', 'resume', 'resume', 'flush', 'restart'), who }),
      },
    );
    const timed = fc.record({ step, afterMs: fc.nat(400) });
    await fc.assert(
      fc.asyncProperty(fc.array(timed, { minLength: 25, maxLength: 25 }), async (steps) => {
        const slots = await Promise.all([0, 1, 2, 3].map(() => proxied()));
        const workers = slots.map(({ url }) => lab.start(`run-${lab.workers.length}`, quick(url)));
        for (const { step, afterMs } of steps) {
          await play(step, slots, workers);
          // Not to wait for anything: it is the schedule that is tried.
          await sleep(afterMs);
        }
        server.resume();
        for (const slot of slots) slot.move();
        await eventually(() => expect(spreadOf(...workers)).toEqual([2, 2, 2, 1]));
        expect(lab.referee.faults).toEqual([]);
        expect(lab.referee.grants.length).toBeGreaterThan(7);
        await Promise.all(workers.map((worker) => worker.leases.stop()));
      }),
      { numRuns: 3, endOnFailure: true },
    );
  });
});

const quick = (url: string) => ({ url, partitions: 7, leaseMs: 400 });

async function play(
  { kind, who }: { kind: string; who: number },
  slots: readonly StallingProxy[],
  workers: LabWorker[],
): Promise<void> {
  const slot = slots[who] as StallingProxy;
  const worker = workers[who] as LabWorker;
  if (kind === 'stall') slot.stall();
  if (kind === 'move') slot.move();
  if (kind === 'leap') worker.aheadMs += 300;
  if (kind === 'fail') for (const partition of worker.partitions.slice(0, 1)) void worker.leases.giveUp(partition);
  if (kind === 'pause') server.pause();
  if (kind === 'resume') server.resume();
  if (kind === 'flush') void worker.redis.flushall().catch(() => {});
  if (kind === 'restart') await server.kill().then(() => server.startAgain());
  if (kind !== 'stop') return;
  void worker.leases.stop();
  workers[who] = lab.start(`run-${lab.workers.length}`, quick(slot.url));
}
