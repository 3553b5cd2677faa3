import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { countBySource, manySignals, verdicts } from '../../compliance/judging-lab.ts';
import { RedisCluster } from '../../support/redis-server.ts';
import { AxiomLab } from './axiom-lab.ts';

// reason: there is no Redis on this machine, and the run has said so
describe.skipIf(!hasRedisServer())('on a Redis Cluster', () => {
  let cluster: RedisCluster;
  let lab: AxiomLab;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  });
  afterAll(() => cluster.remove());
  beforeEach(async () => {
    lab = await AxiomLab.open(cluster);
  });
  afterEach(() => lab.dispose());

  it('signals get one verdict each, and a source that has one is remembered', async () => {
    const first = await lab.started();
    await lab.queue.enqueue('acme', [...manySignals('low', 300), ...manySignals('high', 10, 0.9)]);
    await lab.idle();
    const again = [...manySignals('low', 300, 0.2), ...manySignals('high', 10, 0.95)];
    await lab.queue.enqueue('acme', again);
    await lab.idle();
    const all = await verdicts(lab.journals);
    expect([all.length, new Set(countBySource(all).values())]).toEqual([310, new Set([1])]);
    expect([first.judged.length, first.repeated.length]).toEqual([310, 310]);
    expect(first.said.filter((line) => !line.startsWith('made'))).toEqual([]);
  });
});
