import { afterAll, beforeAll, describe } from 'vitest';
import { hasRedisServer } from '../../scripts/redis-server.mjs';
import { journalsContract } from '../journal/journals-contract.ts';
import { ClusterLab } from '../support/cluster-lab.ts';
import { RedisServer } from '../support/redis-server.ts';

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('events by way of Redis', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.remove());

  journalsContract('a process of a cluster', async () => {
    const lab = new ClusterLab(server);
    let web = await lab.open({ worker: false });
    await web.commands.flushall();
    let worker = await lab.open({ leaseMs: 500 });
    return {
      journals: web.journals,
      restart: async () => {
        await web.stop();
        await worker.stop();
        worker = await lab.open({ leaseMs: 500 });
        web = await lab.open({ worker: false });
        return web.journals;
      },
      dispose: () => lab.dispose(),
    };
  });
});
