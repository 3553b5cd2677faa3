import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineChunks, type LineChunk } from '../../src/http/ndjson.ts';

async function chunksOf(pieces: Buffer[], linesMax: number, bytesMax: number): Promise<LineChunk[]> {
  const chunks: LineChunk[] = [];
  for await (const chunk of lineChunks(from(pieces), linesMax, bytesMax)) chunks.push(chunk);
  return chunks;
}

async function* from(pieces: Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

test('however the bytes arrive, the chunks are the same whole lines within the limits', async () => {
  const line = fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => text.replaceAll(/[\r\n]/g, ''));
  const property = fc.asyncProperty(
    fc.array(line, { maxLength: 40 }),
    fc.boolean(),
    fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 30 }),
    fc.integer({ min: 1, max: 5 }),
    fc.integer({ min: 60, max: 200 }),
    async (lines, endsWithNewline, cuts, linesMax, bytesMax) => {
      const text = lines.join('\n') + (endsWithNewline ? '\n' : '');
      let rest = Buffer.from(text);
      const pieces: Buffer[] = [];
      for (const cut of cuts) {
        pieces.push(rest.subarray(0, cut));
        rest = rest.subarray(cut);
      }
      pieces.push(rest);
      const chunks = await chunksOf(pieces, linesMax, bytesMax);
      expect(chunks.map((chunk) => chunk.text).join('')).toBe(text);
      expect(chunks.map((chunk) => chunk.last)).toEqual(chunks.map((_, index) => index === chunks.length - 1));
      let line = 0;
      for (const chunk of chunks) {
        expect(chunk.firstLine).toBe(line);
        expect(chunk.filled).toBeLessThanOrEqual(linesMax);
        if (chunk.lines > 1) expect(chunk.bytes).toBeLessThanOrEqual(bytesMax);
        line += chunk.lines;
      }
      const wholeChunk = await chunksOf([Buffer.from(text)], linesMax, bytesMax);
      expect(chunks).toEqual(wholeChunk);
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test('a line that is too long is refused before it is whole', async () => {
  const endless = (async function* () {
    for (;;) yield Buffer.alloc(1024 * 1024, 120);
  })();
  await expect(async () => {
    for await (const _ of lineChunks(endless));
  }).rejects.toMatchObject({ kind: 'too-large', errors: [{ pointer: '/0' }] });
});
