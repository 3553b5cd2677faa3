import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FAN_IN, keyRanges, mayOverlap, planMerge, RUN_TAG, tierOf } from '../../journal/compact/plan.ts';
import { compareKeys, type EntityKey, type KeyRange } from '../../journal/segment/index.ts';
import type { TableFile } from '../../journal/table/index.ts';

let made = 0;
function fileOf(firstSeq: number, rows: number, run?: string): TableFile {
  const path = `data/aa/${made++}.parquet`;
  const tags = run === undefined ? {} : { tags: { [RUN_TAG]: run } };
  return {
    add: { path, partitionValues: {}, size: rows, modificationTime: 0, dataChange: true, ...tags },
    bounds: { rows, firstSeq, lastSeq: firstSeq + rows - 1, min: {}, max: {} },
  };
}

/** Carries out merges until nothing is left to do; how many events were rewritten, each time. */
function settle(files: TableFile[], partRows: number): { files: TableFile[]; rewritten: number; merges: number } {
  let merges = 0;
  let rewritten = 0;
  for (let inputs = planMerge(files); inputs; inputs = planMerge(files)) {
    merges += 1;
    expect(merges).toBeLessThan(1000);
    const rows = inputs.reduce((sum, file) => sum + file.bounds.rows, 0);
    const firstSeq = Math.min(...inputs.map((file) => file.bounds.firstSeq));
    rewritten += rows;
    const parts: TableFile[] = [];
    for (let left = rows; left > 0; left -= partRows)
      parts.push(fileOf(firstSeq, Math.min(left, partRows), `run${made}`));
    const run = `run${made}`;
    for (const part of parts) part.add.tags = { [RUN_TAG]: run };
    files = [...files.filter((file) => !inputs?.includes(file)), ...parts];
  }
  return { files, rewritten, merges };
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 200_000 })), {
  maxLength: 200,
});

describe('the plan of merges', () => {
  it('never touches a lone file, nor fewer than eight alike', () => {
    expect(planMerge([])).toBeUndefined();
    expect(planMerge([fileOf(0, 1)])).toBeUndefined();
    const seven = Array.from({ length: FAN_IN - 1 }, (_, i) => fileOf(i * 10, 10));
    expect(planMerge(seven)).toBeUndefined();
    expect(planMerge([...seven, fileOf(70, 10)])).toHaveLength(FAN_IN);
    // A large neighbour is left alone, a small one between them is taken along.
    expect(planMerge([...seven, fileOf(70, 10), fileOf(80, 5000)])).toHaveLength(FAN_IN);
    expect(planMerge([...seven, fileOf(70, 1), fileOf(71, 10)])).toHaveLength(FAN_IN + 1);
  });

  it('takes the parts of a run for one, whatever their sizes, and those of another program one by one', () => {
    const parts = Array.from({ length: 20 }, () => fileOf(0, 1000, 'r'));
    expect(planMerge(parts)).toBeUndefined();
    expect(planMerge(Array.from({ length: 20 }, (_, i) => fileOf(i * 1000, 1000)))).toHaveLength(20);
  });

  it('ends, keeps every event, and rewrites each at most once a tier', () => {
    fc.assert(
      fc.property(sizes, (rows) => {
        let seq = 0;
        const all = rows.map((count) => {
          const file = fileOf(seq, count);
          seq += count;
          return file;
        });
        const settled = settle(all, 250_000);
        expect(settled.files.reduce((sum, file) => sum + file.bounds.rows, 0)).toBe(seq);
        expect(settled.rewritten).toBeLessThanOrEqual(seq * tierOf(seq));
        expect(planMerge(settled.files)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it('keeps few runs and rewrites little while segments come one after another', () => {
    let files: TableFile[] = [];
    let rewritten = 0;
    const segments = 600;
    for (let i = 0; i < segments; i++) {
      const settled = settle([...files, fileOf(i * 100_000, 100_000)], 250_000);
      files = settled.files;
      rewritten += settled.rewritten;
      const runs = new Set(files.map(({ add }) => add.tags?.[RUN_TAG] ?? add.path)).size;
      expect(runs).toBeLessThanOrEqual(3 * (FAN_IN - 1));
    }
    expect(rewritten / (segments * 100_000)).toBeLessThan(3.1);
  });
});

const text = fc.constantFrom('a', 'b', 'é', '', '\ue000', '\u{10000}', 'a'.repeat(40));
const key: fc.Arbitrary<EntityKey> = fc.record({ entityType: text, entityId: text, seq: fc.nat(50) });

const isIn = (at: EntityKey, { from, to }: KeyRange) =>
  (from === null || compareKeys(at, from) >= 0) && (to === null || compareKeys(at, to) < 0);

describe('the cut into key ranges', () => {
  it('puts every key into exactly one range, ascending', () => {
    fc.assert(
      fc.property(fc.array(key), fc.integer({ min: 1, max: 9 }), fc.array(key), (sample, parts, keys) => {
        const ranges = keyRanges(sample, parts);
        expect(ranges.length).toBeLessThanOrEqual(parts);
        for (const at of [...sample, ...keys]) expect(ranges.filter((range) => isIn(at, range))).toHaveLength(1);
        for (let i = 1; i < ranges.length; i++) expect(ranges[i]?.from).toEqual(ranges[i - 1]?.to);
      }),
    );
  });

  it('cuts an entity only where it fills a range', () => {
    const keys = Array.from({ length: 100 }, (_, i) => ({ entityType: 't', entityId: `e${i % 10}`, seq: i }));
    for (const { from } of keyRanges(keys, 5)) expect(from?.seq ?? 0).toBe(0);
    const hot = Array.from({ length: 100 }, (_, i) => ({ entityType: 't', entityId: 'hot', seq: i }));
    expect(keyRanges(hot, 4).map(({ from }) => from?.seq)).toEqual([undefined, 25, 50, 75]);
  });

  it('never passes over a file that holds a key of the range', () => {
    fc.assert(
      fc.property(fc.array(key, { minLength: 1 }), fc.array(key, { maxLength: 6 }), (keys, sample) => {
        const file = fileOf(0, keys.length);
        const types = keys.map(({ entityType }) => Buffer.from(entityType)).sort(Buffer.compare);
        const ids = keys.map(({ entityId }) => Buffer.from(entityId)).sort(Buffer.compare);
        const cut = (bytes: Buffer | undefined) => String(bytes).slice(0, 32);
        const raised = (bytes: Buffer | undefined) => {
          const whole = String(bytes);
          return whole.length > 32 ? `${whole.slice(0, 32)}\u007f` : whole;
        };
        file.bounds.min = { entity_type: cut(types[0]), entity_id: cut(ids[0]) };
        file.bounds.max = { entity_type: raised(types.at(-1)), entity_id: raised(ids.at(-1)) };
        for (const range of keyRanges(sample, 4)) {
          if (keys.some((at) => isIn(at, range))) expect(mayOverlap(file, range)).toBe(true);
        }
      }),
    );
  });
});
