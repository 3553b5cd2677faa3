import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EntryAssembler,
  entryParts,
  type JournalEntry,
  PART_BYTES,
  type StreamEntry,
  type Taken,
} from '../../../src/cluster/redis/index.ts';

type Fields = Readonly<Record<string, string | Buffer>>;

/** As Redis gives it back: bytes under names. */
const stored = (fields: Fields, id: string): StreamEntry => ({
  id,
  fields: new Map(Object.entries(fields).map(([name, value]) => [name, Buffer.from(value)])),
});

/** What an assembler makes of a stream: ids are the positions in it. */
function assemble(stream: readonly Fields[]): { taken: Taken[]; waiting: readonly string[] } {
  const assembler = new EntryAssembler();
  const taken = stream.flatMap((fields, at) => assembler.take(stored(fields, `${at}-0`)));
  return { taken, waiting: assembler.waitingIds };
}

const idsFrom = (first: number, count: number) => Array.from({ length: count }, (_, at) => `${first + at}-0`);

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
/** Small parts, so that bodies of many parts are small too, and lengths around whole parts are likely. */
const partSizes = fc.integer({ min: 1, max: 40 });
const bodiesFrom = (minLength: number) =>
  fc.uint8Array({ minLength, maxLength: 200, size: 'max' }).map((bytes) => Buffer.from(bytes));
const entriesFrom = (bodyBytesMin: number): fc.Arbitrary<JournalEntry> =>
  fc.record({
    workspace: fc.oneof(fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/), fc.constant('_system')),
    origin: fc.constantFrom('caller', 'service'),
    shape: fc.constantFrom('json', 'ndjson'),
    body: bodiesFrom(bodyBytesMin),
    idBase: text,
    onTaken: fc.constantFrom('refuse', 'skip'),
    reply: fc.option(fc.record({ webId: text, requestId: text }), { nil: undefined }),
    acceptedMs: fc.maxSafeNat(),
  });
const entries = entriesFrom(0);
/** Entries of somebody else: never whole, whatever they hold. */
const garbage: fc.Arbitrary<Fields> = fc.oneof(
  fc.dictionary(text, text),
  fc.record({ v: fc.constant('1'), workspace: fc.constant('../etc'), body: text, id_base: text }),
  fc.record({ v: fc.constant('2'), body: text }),
);

const small: JournalEntry = {
  workspace: 'acme',
  origin: 'caller',
  shape: 'json',
  body: Buffer.from('{}'),
  idBase: 'request-1',
  onTaken: 'refuse',
  reply: undefined,
  acceptedMs: 1,
};
const large: JournalEntry = { ...small, body: Buffer.alloc(2 * PART_BYTES + 1, 'x'), idBase: 'request-2' };

describe('entries of journals', () => {
  it('come back as they were, one after the other, however many parts they have', () => {
    fc.assert(
      fc.property(fc.array(entries, { minLength: 1, maxLength: 4 }), partSizes, (all, partBytes) => {
        const split = all.map((entry) => entryParts(entry, partBytes));
        const { taken, waiting } = assemble(split.flat());
        let next = 0;
        const expected = all.map((entry, at) => {
          const ids = idsFrom(next, split[at]?.length ?? 0);
          next += ids.length;
          return { kind: 'whole', entry, ids };
        });
        expect(taken).toEqual(expected);
        expect(waiting).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it('have as few parts as they can, none larger than it may be', () => {
    fc.assert(
      fc.property(entries, partSizes, (entry, partBytes) => {
        const sizes = entryParts(entry, partBytes).map(({ body }) => (body as Buffer).length);
        expect(sizes).toHaveLength(Math.max(1, Math.ceil(entry.body.length / partBytes)));
        expect(Math.max(...sizes)).toBeLessThanOrEqual(partBytes);
      }),
    );
    const sizes = entryParts(large).map(({ body }) => (body as Buffer).length);
    expect(sizes).toEqual([PART_BYTES, PART_BYTES, 1]);
    const { taken } = assemble(entryParts(large));
    expect(taken.map((each) => each.kind === 'whole' && each.entry.body.equals(large.body))).toEqual([true]);
  });

  it('are not copied where they are of one part', () => {
    const [fields] = entryParts(small);
    expect(fields?.body).toBe(small.body);
    const sent = stored(fields ?? {}, '1-0');
    const [taken] = new EntryAssembler().take(sent);
    expect(taken?.kind === 'whole' && taken.entry.body).toBe(sent.fields.get('body'));
  });
});

describe('what is wrong in a stream', () => {
  it('is told, each with its ids, between entries that are whole', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(entries, garbage), { minLength: 1, maxLength: 6 }), partSizes, (all, partBytes) => {
        const isEntry = (value: JournalEntry | Fields): value is JournalEntry => 'onTaken' in value;
        const split = all.map((value) => (isEntry(value) ? entryParts(value, partBytes) : [value]));
        const { taken } = assemble(split.flat());
        let next = 0;
        const expected = all.map((value, at) => {
          const ids = idsFrom(next, split[at]?.length ?? 0);
          next += ids.length;
          if (isEntry(value)) return { kind: 'whole', entry: value, ids };
          return { kind: 'malformed', reason: expect.stringMatching(/./), ids };
        });
        expect(taken).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('is a part that is missing: what was seen of the entry is given up, and what follows is not', () => {
    const partBytes = 20;
    fc.assert(
      fc.property(entriesFrom(partBytes + 1), fc.nat(), fc.boolean(), (entry, which, thenGarbage) => {
        const parts = entryParts(entry, partBytes);
        const missing = which % parts.length;
        const after = thenGarbage ? { v: 'x' } : (entryParts(small)[0] as Fields);
        const { taken, waiting } = assemble([...parts.filter((_, at) => at !== missing), after]);
        // What is left is told once, in the order of the stream, and nothing of it is taken for whole.
        expect(taken.flatMap(({ ids }) => ids)).toEqual(idsFrom(0, parts.length));
        expect(taken.slice(0, -1).map(({ kind }) => kind)).not.toContain('whole');
        expect(taken.at(-1)).toMatchObject({
          kind: thenGarbage ? 'malformed' : 'whole',
          ids: [`${parts.length - 1}-0`],
        });
        if (missing > 0) expect(taken[0]).toMatchObject({ reason: `part ${missing} of ${parts.length} is missing` });
        expect(waiting).toEqual([]);
      }),
    );
  });

  it('is anything between the parts of an entry, or parts of another', () => {
    const parts = entryParts(large);
    const [first, second, third] = parts as [Fields, Fields, Fields];
    const other = entryParts({ ...large, idBase: 'request-3' })[1] as Fields;
    const reasons = (stream: Fields[]) =>
      assemble(stream).taken.map((taken) => [taken.kind === 'malformed' ? taken.reason : '', taken.ids]);
    expect(reasons([first, { v: '7' }, second, third])).toEqual([
      ['part 1 of 3 is missing', ['0-0']],
      ['v is not 1', ['1-0']],
      ['part 1 of 3 does not follow the one before it', ['2-0']],
      ['part 2 of 3 does not follow the one before it', ['3-0']],
    ]);
    expect(reasons([first, other]).map(([, ids]) => ids)).toEqual([['0-0'], ['1-0']]);
    expect(reasons([first, { ...second, parts: '4' }]).map(([, ids]) => ids)).toEqual([['0-0'], ['1-0']]);
    expect(reasons([first, first, second, third])).toEqual([
      ['part 1 of 3 is missing', ['0-0']],
      ['', ['1-0', '2-0', '3-0']],
    ]);
    expect(assemble([first, second])).toEqual({ taken: [], waiting: ['0-0', '1-0'] });
  });

  it('is told in words', () => {
    const [good = {}] = entryParts({ ...small, reply: { webId: 'w', requestId: 'r' } });
    const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([other]) => other !== name));
    const cases: [Fields, string][] = [
      [without('v'), 'v is missing'],
      [{ ...good, v: '2' }, 'v is not 1'],
      [without('body'), 'body is missing'],
      [without('id_base'), 'id_base is missing'],
      [{ ...good, workspace: '../a' }, 'workspace is not the name of a workspace'],
      [{ ...good, workspace: '_other' }, 'workspace is not the name of a workspace'],
      [{ ...good, origin: 'me' }, 'origin is none of caller, service'],
      [{ ...good, shape: 'xml' }, 'shape is none of json, ndjson'],
      [{ ...good, on_taken: '' }, 'on_taken is none of refuse, skip'],
      [{ ...good, accepted_ms: '-1' }, 'accepted_ms is not a number'],
      [{ ...good, accepted_ms: '9999999999999999' }, 'accepted_ms is not a number'],
      [without('web_id'), 'web_id and request_id come together'],
      [{ ...good, part: '0', parts: '0' }, 'part is not below parts'],
      [{ ...good, parts: '2' }, 'part is missing'],
    ];
    for (const [fields, reason] of cases)
      expect(assemble([fields]).taken).toEqual([{ kind: 'malformed', reason, ids: ['0-0'] }]);
  });
});
