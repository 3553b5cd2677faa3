import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSlots } from '../../../queries/worker/line-slots.ts';

const SHAPE = { afterHash: 1, foot: '\r\n' };
const hashOf = (seq: number) => seq.toString(16).padStart(64, '0');
const put = (slots: LineSlots, seq: number, line: string) => {
  // Within a larger buffer, as texts of DuckDB's come.
  const bytes = Buffer.from(`##${line}##`);
  slots.put(seq, bytes, 2, bytes.length - 2);
};
const textOf = (slots: LineSlots, beforeHash?: string) => {
  let text = '';
  for (const piece of slots.pieces(SHAPE, beforeHash)) text += piece.toString();
  return text;
};

describe('lines', () => {
  it('come in the order of seq, each with the hash of the one before, whatever order they are put in', () => {
    const contents = fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { minLength: 1, maxLength: 50 });
    const slots = new LineSlots(1 << 20);
    fc.assert(
      fc.property(contents, fc.nat(), fc.infiniteStream(fc.nat()), (texts, firstSeq, order) => {
        const line = (index: number) => `${texts[index]},${hashOf(firstSeq + index)},`;
        const shuffled = texts.map((_, index) => ({ index, rank: order.next().value })).sort((a, b) => a.rank - b.rank);
        slots.clear(firstSeq, firstSeq + texts.length - 1);
        for (const { index } of shuffled) put(slots, firstSeq + index, line(index));
        const before = 'f'.repeat(64);
        const expected = texts.map(
          (_, index) => `${line(index)}${index === 0 ? before : hashOf(firstSeq + index - 1)}\r\n`,
        );
        expect(slots.lines).toBe(texts.length);
        expect(textOf(slots, before)).toBe(expected.join(''));
        expect(slots.lastHash(SHAPE)).toBe(hashOf(firstSeq + texts.length - 1));
      }),
    );
  });

  it('that already have that hash come as they are, and seqs without a line are left out', () => {
    const slots = new LineSlots(1 << 20);
    slots.clear(10, 20);
    put(slots, 18, 'later');
    put(slots, 11, 'earlier');
    expect(textOf(slots)).toBe('earlier\r\nlater\r\n');
    slots.clear(30, 31);
    expect(textOf(slots)).toBe('');
  });

  it('longer than a piece come whole', () => {
    const slots = new LineSlots(4 << 20);
    slots.clear(0, 1);
    const long = 'y'.repeat(1 << 20);
    put(slots, 1, long);
    put(slots, 0, 'x');
    expect(textOf(slots)).toBe(`x\r\n${long}\r\n`);
  });
});

describe('room', () => {
  it('ends at its limit, but a single line always has some', () => {
    const slots = new LineSlots(1 << 20);
    slots.clear(0, 1);
    put(slots, 1, 'z'.repeat(3 << 20));
    expect([slots.isFull, slots.lines]).toEqual([false, 1]);
    const limited = new LineSlots(1 << 20);
    limited.clear(0, 1);
    put(limited, 0, 'z'.repeat(1 << 19));
    put(limited, 1, 'z'.repeat((1 << 19) + 1));
    expect([limited.isFull, limited.lines]).toEqual([true, 1]);
    limited.clear(0, 0);
    put(limited, 0, 'again');
    expect([limited.isFull, textOf(limited)]).toEqual([false, 'again\r\n']);
  });
});

it('a seq that comes twice, or that the range does not have, is refused', () => {
  const slots = new LineSlots(1 << 20);
  slots.clear(0, 99);
  slots.clear(10, 12);
  put(slots, 10, 'a');
  expect(() => put(slots, 10, 'b')).toThrow('seq 10 is there twice');
  for (const seq of [-1, 9, 13, 50]) expect(() => put(slots, seq, 'c')).toThrow('other seqs');
});
