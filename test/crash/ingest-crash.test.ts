import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Receipt } from '../../journal/index.ts';
import { chainFault, Lab, readAll, SeededRandom } from '../support/journal-lab.ts';
import { JournalProcess } from '../support/journal-process.ts';

const shared = process.env.INDELIBLE_SHARED ?? new URL('../../../shared', import.meta.url).pathname;
const path = join(shared, 'data', 'mutations-hono.ndjson.gz');
const isThere = existsSync(path);
if (!isThere) console.warn(`SKIPPED: the real histories are not in ${shared}/data; set INDELIBLE_SHARED`);
const SEED = process.env.INDELIBLE_TEST_SEED ?? '2026';

let lab: Lab;
let child: JournalProcess | undefined;
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  await child?.kill();
  await lab.dispose();
});

// reason: the real histories are not part of the project; the line above says where they are looked for
describe.skipIf(!isThere)('an ingest that is killed', () => {
  it('ten times and started again: each event once, in the order of the file, under its first receipt', async () => {
    const random = new SeededRandom(SEED);
    const first = new Map<string, Receipt>();
    let killed = 0;
    for (let round = 0; round <= 10; round++) {
      const options = { dataDir: lab.dataDir, storeDir: lab.storeDir, ingest: { path, workspace: 'hono' } };
      child = new JournalProcess({ ...options, batch: 100, flushEvents: 700 });
      await child.heard('open');
      if (round === 10) await child.heard('through');
      else await new Promise((resolve) => setTimeout(resolve, random.below(250)));
      await child.kill();
      if (!child.said.some(({ type }) => type === 'through')) killed += 1;
      for (const { type, receipts } of child.said) {
        for (const receipt of type === 'acknowledged' ? (receipts as Receipt[]) : []) {
          const known = first.get(receipt.event_id) ?? receipt;
          expect(receipt).toEqual(known);
          first.set(receipt.event_id, known);
        }
      }
    }
    expect(killed).toBeGreaterThan(0);
    const journals = await lab.open();
    const events = await readAll(journals, 'hono');
    const lines = gunzipSync(readFileSync(path)).toString().trim().split('\n');
    expect(events.map((event) => event.event_id)).toEqual(
      lines.map((line) => (JSON.parse(line) as { event_id: string }).event_id),
    );
    expect(chainFault(events)).toBeUndefined();
    for (const { event_id, seq, event_hash } of events) expect(first.get(event_id)).toMatchObject({ seq, event_hash });
  }, 60_000);
});
