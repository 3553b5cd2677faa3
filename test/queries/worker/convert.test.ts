import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { IndelibleError } from '../../../journal/index.ts';
import { type ConvertRequest, runConvert } from '../../../queries/convert.ts';
import { LIMITS, textOf, useHarness } from './harness.ts';

const harness = useHarness();
let made = 0;

const file = (content: string | Uint8Array): string => {
  made += 1;
  const path = join(harness.dir, `upload-${made}`);
  writeFileSync(path, content);
  return path;
};
const convert = (path: string, more: Partial<ConvertRequest> = {}) =>
  runConvert(harness.pool, { path, format: 'csv', limits: LIMITS, ...more });
const failure = (promise: Promise<unknown>): Promise<IndelibleError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error) => error,
  );

describe('CSV', () => {
  it('becomes objects of strings; empty is null, quoted empty is empty', async () => {
    const run = await convert(file('a,"b ""c""",d\r\n1,,""\r\n"x,\n""y""",007,null\r\n'));
    expect(run.meta.columns.map(({ name }) => name)).toEqual(['a', 'b "c"', 'd']);
    expect(await textOf(run)).toBe(
      '{"a":"1","b \\"c\\"":null,"d":""}\n{"a":"x,\\n\\"y\\"","b \\"c\\"":"007","d":"null"}\n',
    );
    expect(await run.done).toEqual({ rows: 2 });
  });

  it('may be gzip', async () => {
    expect(await textOf(await convert(file(gzipSync('a\n1\n2\n')), { gzip: true }))).toBe('{"a":"1"}\n{"a":"2"}\n');
  });

  it('with only a header has no rows; Unicode and long cells pass', async () => {
    expect(await textOf(await convert(file('a,b\n')))).toBe('');
    const long = 'é'.repeat(1_000_000);
    expect(JSON.parse(await textOf(await convert(file(`a,b\n${long},😀\n`))))).toEqual({ a: long, b: '😀' });
  });

  it('keeps a hundred thousand rows in order', async () => {
    const rows = Array.from({ length: 100_000 }, (_, index) => `${index},text ${index}`);
    const lines = (await textOf(await convert(file(`n,t\n${rows.join('\n')}\n`)))).trimEnd().split('\n');
    expect(lines).toEqual(rows.map((_, index) => `{"n":"${index}","t":"text ${index}"}`));
  });

  it.each([
    ['too many cells', 'a,b\n1,2\n1,2,3\n'],
    ['too few cells', 'a,b\n1,2\n1\n'],
    ['a quote that never ends', 'a,b\n1,"2\n3,4\n'],
    ['text after a quote', 'a,b\n1,"2"x\n'],
    ['no UTF-8', Buffer.from([0x61, 0x0a, 0xff, 0xfe, 0x0a])],
    ['nothing at all', ''],
    ['nothing but line ends', '\r\n\r\n'],
    ['two kinds of line ends', 'a,b\r\n1,2\n3,4\r\n'],
  ])('that is broken is refused: %s', async (_name, content) => {
    const path = file(content);
    const error = await failure(convert(path).then(textOf));
    expect(error.kind).toBe('invalid');
    expect(error.message).toContain('not readable as csv');
    expect(error.message).not.toContain(harness.dir);
    expect(error.message).not.toMatch(/ignore_errors|null_padding|strict_mode/);
  });

  it('that breaks late makes the body fail', async () => {
    const path = file(`a,b\n${'1,2\n'.repeat(400_000)}1,2,3\n`);
    const error = await failure(convert(path).then(textOf));
    expect(error.kind).toBe('invalid');
    expect(error.message).toMatch(/400002/);
  });

  it('that is broken gzip, and none at all, is refused', async () => {
    const whole = gzipSync('a\n'.repeat(100_000));
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 6) ^ 1, damaged.length - 6);
    for (const bytes of [
      whole.subarray(0, whole.length - 40),
      whole.subarray(0, -1),
      damaged,
      Buffer.from('a\n1\n'),
      '',
    ]) {
      const error = await failure(convert(file(bytes), { gzip: true }).then(textOf));
      expect(error.kind).toBe('invalid');
      expect(error.message).toContain('not readable as gzip');
    }
  });
});

describe('a bomb', () => {
  it('of gzip is refused at the limit', async () => {
    const bytes = gzipSync(Buffer.alloc(30_000_000, 'a\n'));
    const limits = { ...LIMITS, tempBytes: 10_000_000 };
    expect((await failure(convert(file(bytes), { gzip: true, limits }))).kind).toBe('too-large');
  });
});

describe('Parquet', () => {
  it('keeps its values exactly', async () => {
    const path = join(harness.dir, 'typed.parquet');
    await harness.connection.run(
      `COPY (SELECT 9007199254740993::BIGINT AS big, 12345678901234567890.120::DECIMAL(30,3) AS dec, 1.5::DOUBLE AS dbl, 'inf'::DOUBLE AS inf, true AS yes, NULL::INTEGER AS none, 'é"' AS text, '\\xAB'::BLOB AS bytes, TIMESTAMPTZ '2026-01-02 03:04:05.000006+00' AS at, DATE '2026-01-02' AS day, [1, 2] AS list, {'k': 'v'} AS struct, '{"n":1}'::JSON AS json) TO '${path}' (FORMAT parquet)`,
    );
    const run = await convert(path, { format: 'parquet' });
    expect(await textOf(run)).toBe(
      '{"big":9007199254740993,"dec":12345678901234567890.120,"dbl":1.5,"inf":"inf","yes":true,"none":null,"text":"é\\"","bytes":"ab","at":"2026-01-02T03:04:05.000006Z","day":"2026-01-02","list":[1,2],"struct":{"k":"v"},"json":{"n":1}}\n',
    );
  });

  it('that is none is refused', async () => {
    for (const bytes of ['PAR1', 'a,b\n1,2\n', '', Buffer.alloc(100)]) {
      const error = await failure(convert(file(bytes), { format: 'parquet' }).then(textOf));
      expect(error.kind).toBe('invalid');
      expect(error.message).not.toContain(harness.dir);
    }
  });
});
