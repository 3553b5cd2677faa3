import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSlots } from '../../../queries/worker/line-slots.ts';

const SHAPE = { afterHash: ',', foot: '\r\n' };
const hashOf = (seq: number) => seq.toString(16).padStart(64, '0');
const put = (slots: LineSlots, seq: number, line: string) => {
  // Within a larger buffer, as texts of DuckDB's come.
  const bytes = Buffer.from(`##${line}##`);
  return slots.put(seq, bytes, 2, bytes.length - 2);
};
const textOf = (slots: LineSlots, beforeHash: string) => {
  const pieces = slots.pieces(SHAPE, beforeHash);
  let text = '';
  let piece = pieces.next();
  for (; !piece.done; piece = pieces.next()) text += piece.value.toString();
  return { text, lines: piece.value };
};

describe('lines', () => {
  it('come in the order of seq, each with the hash of the one before, whatever order they are put in', () => {
    // undefined: a line that is nothing but a hash.
    const content = fc.option(fc.string({ unit: 'grapheme', maxLength: 20 }), { nil: undefined });
    const contents = fc.array(content, { minLength: 1, maxLength: 50 });
    const slots = new LineSlots(1 << 20);
    fc.assert(
      fc.property(contents, fc.nat(), fc.infiniteStream(fc.nat()), (texts, firstSeq, order) => {
        const line = (index: number) =>
          `${texts[index] === undefined ? '' : `${texts[index]},`}${hashOf(firstSeq + index)},`;
        const shuffled = texts.map((_, index) => ({ index, rank: order.next().value })).sort((a, b) => a.rank - b.rank);
        slots.clear(firstSeq, firstSeq + texts.length - 1);
        for (const { index } of shuffled) expect(put(slots, firstSeq + index, line(index))).toBe(true);
        const before = 'f'.repeat(64);
        const expected = texts.flatMap((text, index) =>
          text === undefined ? [] : [`${line(index)}${index === 0 ? before : hashOf(firstSeq + index - 1)}\r\n`],
        );
        expect([slots.lines, slots.isComplete, slots.fault]).toEqual([texts.length, true, undefined]);
        expect(textOf(slots, before)).toEqual({ text: expected.join(''), lines: expected.length });
        expect(slots.lastHash(SHAPE)).toBe(hashOf(firstSeq + texts.length - 1));
      }),
    );
  });

  it('longer than a piece come whole', () => {
    const slots = new LineSlots(4 << 20);
    slots.clear(0, 1);
    const long = `${'y'.repeat(1 << 20)}${hashOf(1)},`;
    put(slots, 1, long);
    put(slots, 0, `x${hashOf(0)},`);
    const before = 'f'.repeat(64);
    expect(textOf(slots, before).text).toBe(`x${hashOf(0)},${before}\r\n${long}${hashOf(0)}\r\n`);
  });
});

describe('room', () => {
  it('ends at its limit, but a single line always has some', () => {
    const slots = new LineSlots(1 << 20);
    slots.clear(0, 1);
    expect(put(slots, 1, 'z'.repeat(3 << 20))).toBe(true);
    expect(put(slots, 0, 'z')).toBe(false);
    const limited = new LineSlots(1 << 20);
    limited.clear(0, 1);
    expect(put(limited, 0, 'z'.repeat(1 << 19))).toBe(true);
    expect(put(limited, 1, 'z'.repeat((1 << 19) + 1))).toBe(false);
    expect([limited.lines, limited.isComplete]).toEqual([1, false]);
    expect([...limited.entries()].map(({ seq, start, end }) => [seq, end - start])).toEqual([[0, 1 << 19]]);
    limited.clear(0, 0);
    expect(put(limited, 0, 'again')).toBe(true);
  });
});

it('a seq that comes twice, or that the range does not have, is told, the lowest of them', () => {
  const slots = new LineSlots(1 << 20);
  const faultOf = (...seqs: number[]) => {
    slots.clear(0, 99);
    slots.clear(10, 12);
    for (const seq of seqs) put(slots, seq, 'a');
    return slots.fault;
  };
  expect(faultOf(10, 12, 11)).toBeUndefined();
  expect(faultOf(12, 10, 12, 10)).toEqual({ seq: 10, reason: 'seq 10 appears twice' });
  for (const seq of [-1, 9, 13, 50]) {
    expect(faultOf(seq)).toEqual({ seq, reason: `seq ${seq} is in a segment of other seqs` });
  }
});
