import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClusterLab } from '../support/cluster-lab.ts';
import { draft, drafts } from '../support/journal-lab.ts';
import { RedisServer } from '../support/redis-server.ts';

describe('a cluster', () => {
  let redis: RedisServer;
  let lab: ClusterLab;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.remove());
  beforeEach(() => {
    lab = new ClusterLab(redis);
  });
  afterEach(() => lab.dispose());

  it('records what is appended', async () => {
    const node = await lab.open();
    const first = await node.journals.append('acme', drafts('a', 10), { ack: 'committed', create: true });
    expect(first).toMatchObject({ count: 10, duplicates: 0, first_seq: 0, last_seq: 9 });
    const again = await node.journals.append('acme', drafts('a', 10), { ack: 'committed', create: true });
    expect(again).toMatchObject({ count: 0, duplicates: 10 });
    expect(again.receipts).toEqual(first.receipts);
    await expect(
      node.journals.append('acme', [draft({ event_id: 'a3', new_value: '"other"' })], {
        ack: 'committed',
        create: true,
      }),
    ).rejects.toMatchObject({ kind: 'conflict' });
    const queued = await node.journals.queue.enqueue('acme', drafts('b', 5));
    await node.journals.reached('acme', queued.position);
    const snapshot = await node.journals.snapshot('acme');
    expect(snapshot.committedSeq).toBe(14);
    snapshot.release();
    expect((await node.journals.find('acme', 'b4'))?.seq).toBe(14);
    expect(lab.failures).toEqual([]);
  });
});
