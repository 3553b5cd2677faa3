// A process that folds or rebuilds until it is stopped at a call of the store. Started by projection-process.ts.
import { randomBytes } from 'node:crypto';
import { DirectoryStore, LocalJournals, localDisk } from '../../journal/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { manualRunner } from './projection-lab.ts';

type Options = {
  dataDir: string;
  storeDir: string;
  work: 'fold' | 'rebuild';
  /** Of the calls that are about projections: at which it stops for ever, once it did nothing or all. */
  stopAt: { call: 'putFile' | 'putIfAbsent'; nth: number; did: 'nothing' | 'all' };
};

const { dataDir, storeDir, work, stopAt } = JSON.parse(process.argv[2] ?? '{}') as Options;
const store = new FaultyStore(new DirectoryStore(storeDir));
const target = store as unknown as Record<string, (key: string, ...rest: unknown[]) => Promise<unknown>>;
const real = target[stopAt.call]?.bind(store);
let seen = 0;
target[stopAt.call] = async (key, ...rest) => {
  const isHere = key.includes('/_projections/') && seen++ === stopAt.nth;
  if (isHere && stopAt.did === 'nothing') return stopped();
  const result = await real?.(key, ...rest);
  return isHere ? stopped() : result;
};

// Whoever stopped it kills it: until then it is there.
process.on('message', () => {});

function stopped(): Promise<never> {
  process.send?.('stopped');
  return new Promise<never>(() => {});
}

const journals = await LocalJournals.open({
  dataDir,
  store,
  clock: { nowMs: () => Date.now() },
  random: { bytes: (count) => new Uint8Array(randomBytes(count)) },
  disk: localDisk,
  flushEvents: 1_000_000,
  flushBytes: 1 << 30,
  flushAgeMs: 3_600_000,
  walBytesMax: 1 << 30,
  cacheBytesMax: 1 << 30,
  sealRetryMs: 5,
  engineMemoryBytes: 256 * 1024 * 1024,
  engineThreads: 1,
  takeOver: false,
  compaction: { isAutomatic: false },
  observer: {},
});
const runner = manualRunner(journals);
await runner.catchUp('acme');
if (work === 'rebuild') await runner.rebuild('acme', 'compliance_events', { by: 'ann', force: false });
process.send?.('done');
