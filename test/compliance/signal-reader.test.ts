import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AXIOM_TYPE } from '../../projections/index.ts';
import type { Journals } from '../../journal/index.ts';
import { readSignals } from '../../src/compliance/signal-reader.ts';
import { DURABLE, drafts, Lab } from '../support/journal-lab.ts';
import { manySignals, watched } from './judging-lab.ts';

let lab: Lab;
let journals: Journals;
beforeEach(async () => {
  lab = new Lab();
  journals = await lab.open();
});
afterEach(() => lab.dispose());

/** Every page from a position on. */
async function readAllPages(fromSeq = 0, of: Journals = journals): Promise<{ seqs: number[]; pages: number }> {
  const seqs: number[] = [];
  for (let pages = 0; ; pages++) {
    const { count, events, throughSeq } = await readSignals(of, 'acme', { entityType: AXIOM_TYPE, fromSeq });
    if (throughSeq < fromSeq) return { seqs, pages };
    seqs.push(...events(0, count).map(({ seq }) => seq));
    fromSeq = throughSeq + 1;
  }
}

const append = (batch: ReturnType<typeof drafts>) => journals.append('acme', batch, DURABLE);

describe('the signals of a journal', () => {
  it('come in order, each once, from many segments, compacted ones and the tail, from any position on', async () => {
    const expected: number[] = [];
    for (let round = 0; round < 12; round++) {
      const { first_seq: first = 0 } = await append(manySignals(`r${round}-`, 30));
      expected.push(...Array.from({ length: 30 }, (_, i) => (first ?? 0) + i));
      await append(drafts(`other${round}-`, 25));
      await journals.flush();
      if (round === 8) await journals.compact('acme');
    }
    const { first_seq: first = 0 } = await append(manySignals('tail-', 600));
    expected.push(...Array.from({ length: 600 }, (_, i) => (first ?? 0) + i));
    expect((await readAllPages()).seqs).toEqual(expected);
    for (const from of [1, 29, 30, 54, 55, 300, 659, 660, 661, 1_259]) {
      expect((await readAllPages(from)).seqs).toEqual(expected.filter((seq) => seq >= from));
    }
    await journals.flush();
    await journals.compact('acme');
    expect((await readAllPages()).seqs).toEqual(expected);
  });

  it('of a window of the journal are read at a time', async () => {
    for (let at = 0; at < 5; at++) await append(manySignals(`s${at}-`, 9_000));
    await journals.flush();
    const { seqs, pages } = await readAllPages();
    expect(seqs).toEqual(Array.from({ length: 45_000 }, (_, i) => i));
    expect(pages).toBe(3);
  }, 30_000);

  it('are found without reading files that hold none, however many events those have', async () => {
    await append(manySignals('first-', 5));
    await journals.flush();
    for (let at = 0; at < 6; at++) {
      for (let part = 0; part < 2; part++) await append(drafts(`big${at}-${part}-`, 10_000));
      await journals.flush();
    }
    await append(manySignals('last-', 5));
    await journals.flush();
    const { journals: seen, held } = watched(journals);
    expect((await readAllPages(0, seen)).seqs).toHaveLength(10);
    const rows = held.flat().map(({ rows: count }) => count);
    expect(rows).toEqual([5, 5]);
    held.length = 0;
    expect((await readAllPages(5, seen)).seqs).toHaveLength(5);
    expect(held.flat().map(({ rows: count }) => count)).toEqual([5]);
  }, 60_000);

  it('of a journal without any: no file is read', async () => {
    await append(drafts('other-', 1_000));
    await journals.flush();
    const { journals: seen, held } = watched(journals);
    expect(await readAllPages(0, seen)).toEqual({ seqs: [], pages: 1 });
    expect(held.flat()).toEqual([]);
  });
});
