// A worker in a process of its own, which can be stopped like any process. Started by lease-safety.test.ts.
import { randomBytes } from 'node:crypto';
import pino from 'pino';
import { DirectoryStore } from '../../../journal/index.ts';
import { type Lease, PartitionLeases } from '../../../src/cluster/partitions/leases.ts';
import { openRedis } from '../../../src/cluster/redis/index.ts';

const { url, storeDir } = JSON.parse(process.argv[2] ?? '{}') as { url: string; storeDir: string };
let held: Lease | undefined;
const leases = new PartitionLeases({
  redis: openRedis({ url, log: pino({ level: 'silent' }), name: 'child' }, 'commands'),
  store: new DirectoryStore(storeDir),
  clock: { nowMs: () => Date.now() },
  random: { bytes: (count) => randomBytes(count) },
  ...{ workerName: 'child', partitions: 1, leaseMs: 1_000 },
  observer: {},
  onGained: (lease) => {
    held = lease;
  },
  onLost: async (_partition, reason) => {
    process.send?.({ type: 'lost', reason });
  },
});
leases.start();

let lastHeldNs = 0n;
/** Over and over, in turns of the event loop as short as can be. */
function look(): void {
  // The clock of the machine, the same in every process. It is read first: a stop after it makes an answer only older.
  const atNs = process.hrtime.bigint();
  if (held && leases.holds(held)) {
    if (lastHeldNs === 0n) process.send?.({ type: 'held', token: held.token });
    lastHeldNs = atNs;
  }
  setImmediate(look);
}
look();
process.on('message', () => process.send?.({ type: 'was-held', lastNs: String(lastHeldNs) }));
