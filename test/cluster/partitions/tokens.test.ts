import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryStore } from '../../../journal/index.ts';
import { claimToken, newestToken } from '../../../src/cluster/partitions/tokens.ts';
import { FaultyStore } from '../../support/faulty-store.ts';
import { Interleaving } from '../../support/interleaving.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'indelible-tokens-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const storeNow = () => new FaultyStore(new DirectoryStore(dir));
const claim = (store: FaultyStore, partition: number, lease = 'a:1') =>
  claimToken(store, partition, { lease, nowMs: 0 });
const filesOf = (partition: string) => readdirSync(join(dir, '_indelible', 'partitions', partition)).sort();

describe('tokens', () => {
  it('are claims in the store: each the next, the newest two stay', async () => {
    const store = storeNow();
    expect(await newestToken(store, 12)).toBe(0);
    for (const token of [1, 2, 3, 4]) expect(await claim(store, 12)).toBe(token);
    expect(filesOf('0012')).toEqual(['00000000000000000003.json', '00000000000000000004.json']);
    const text = readFileSync(join(dir, '_indelible', 'partitions', '0012', '00000000000000000004.json'), 'utf8');
    expect(text).toBe('{"lease":"a:1","claimed_at":"1970-01-01T00:00:00.000Z"}\n');
    expect(await newestToken(store, 12)).toBe(4);
  });

  it('of one partition know nothing of another', async () => {
    const store = storeNow();
    await claim(store, 1);
    await claim(store, 1);
    expect(await claim(store, 10)).toBe(1);
    expect(await claim(store, 1)).toBe(3);
  });

  it('go on after an answer that was lost, with the next number', async () => {
    const store = storeNow();
    store.decide = (call) => (call === 'putIfAbsent' ? 'applied' : undefined);
    await expect(claim(store, 0)).rejects.toThrow('injected');
    store.decide = () => undefined;
    expect(await claim(store, 0)).toBe(2);
  });

  it('are claimed where old ones cannot be deleted', async () => {
    const store = storeNow();
    store.decide = (call) => (call === 'delete' ? 'not-applied' : undefined);
    for (const token of [1, 2, 3, 4]) expect(await claim(store, 0)).toBe(token);
    expect(filesOf('0000')).toHaveLength(4);
  });

  it('rise for whoever comes late: a number that was claimed and deleted meanwhile is not given again', async () => {
    const slow = storeNow();
    await claim(slow, 0);
    const others = storeNow();
    let claims = 0;
    slow.hold = async (call) => {
      // Between its list and its write, four others come and go.
      if (call === 'putIfAbsent') for (; claims < 4; claims++) await claim(others, 0);
    };
    expect(await claim(slow, 0)).toBe(6);
    expect(claims).toBe(4);
  });

  it('rise in whatever order many claim them, and whatever fails', async () => {
    const fault = fc.constantFrom(
      undefined,
      undefined,
      undefined,
      undefined,
      'applied' as const,
      'not-applied' as const,
    );
    const step = fc.record({ pick: fc.nat(100), fault });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        rmSync(dir, { recursive: true, force: true });
        const play = new Interleaving(steps);
        const granted: number[] = [];
        const actors = [0, 1, 2].map((actor) => async () => {
          const store = storeNow();
          play.join(actor, store);
          for (let times = 0; times < 2; times++) {
            const before = Math.max(0, ...granted);
            const token = await claim(store, 0, `worker-${actor}:${times}`).catch(() => undefined);
            if (token === undefined) continue;
            expect(token).toBeGreaterThan(before);
            granted.push(token);
          }
        });
        await play.play(actors);
        expect(new Set(granted).size).toBe(granted.length);
      }),
      { numRuns: 20 },
    );
  });
});
