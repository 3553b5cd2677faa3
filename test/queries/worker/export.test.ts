import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import { parse } from 'csv-parse/sync';
import { beforeAll, describe, expect, it } from 'vitest';
import { EVENT_COLUMNS, type JournalEvent, type SnapshotFiles, ZERO_HASH } from '../../../journal/index.ts';
import { type ExportRequest, runExport } from '../../../queries/export.ts';
import { eventJson } from '../../../queries/index.ts';
import { bytesOf, LIMITS, textOf, useHarness } from './harness.ts';
import { type MadeEvent, madeEvent, makeJournal, walLine } from './journal-data.ts';

const harness = useHarness();
const EVENTS = 3_000;

/** Every hundredth event is awkward in one way or another. */
const AWKWARD: Partial<MadeEvent>[] = [
  { actor: '=cmd()', old_value: '"=1+1"', new_value: '-5' },
  { actor: 'a,b', entity_id: 'line\nbreak', new_value: '"say \\"hi\\"\\r\\n, \\u000b \\\\u000B"' },
  { actor: '@x', source: '+y', correlation_id: '\ttab', metadata: '{"big":123456789012345678901234567890,"e":1e400}' },
  { actor: 'vertical\u000btab \\u000B \u001f', old_value: '"\\u001F"', new_value: 'null', metadata: '""' },
  { actor: '😀 \u2028 \u{E000}0\u{E000}', old_value: '"-1"', new_value: '[1,"a,b"]', source: '' },
  { actor: 'quote"', entity_type: '"', field: '\r', old_value: '"\\n"' },
];
const make = (index: number): MadeEvent => ({
  ...madeEvent(index),
  ...(index % 100 === 0 ? AWKWARD[(index / 100) % AWKWARD.length] : {}),
});

type Expected = JournalEvent & { prev_hash: string };
const expected: Expected[] = [];
let files: SnapshotFiles;

beforeAll(async () => {
  const { connection, dir } = harness;
  files = await makeJournal(connection, join(dir, 'journal'), { events: EVENTS, tail: 200, segments: 3, make });
  let prev = ZERO_HASH;
  for (let seq = 0; seq < EVENTS; seq += 1) {
    const event = make(seq);
    const { hash } = walLine(event, seq, prev);
    expected.push({ ...event, seq, event_hash: hash, prev_hash: prev });
    prev = hash;
  }
});

const run = (request: Partial<ExportRequest>, source = files) =>
  runExport(harness.pool, source, { format: 'csv', limits: LIMITS, ...request });

/** A value as the CSV shows it: strings without quotes, other JSON as its text, absent empty. */
const shown = (value: string | null): string =>
  value === null ? '' : value.startsWith('"') ? JSON.parse(value) : value;
const csvRow = (event: Expected): string[] =>
  [...EVENT_COLUMNS, 'prev_hash' as const].map((name) => {
    if (name === 'old_value' || name === 'new_value' || name === 'metadata') return shown(event[name]);
    return String(event[name] ?? '');
  });

describe('CSV', () => {
  it('has every event in order, with the hash before it, cell by cell', async () => {
    const answer = await run({ format: 'csv' });
    expect(answer.meta).toEqual({ rows: EVENTS });
    const text = await textOf(answer);
    expect(await answer.done).toEqual({ rows: EVENTS });
    const [header, ...rows] = parse(text, { record_delimiter: '\r\n' }) as string[][];
    expect(header).toEqual([...EVENT_COLUMNS, 'prev_hash']);
    expect(rows).toHaveLength(EVENTS);
    for (const [seq, row] of rows.entries()) expect(row).toEqual(csvRow(expected[seq] as Expected));
    expect(text.startsWith('seq,')).toBe(true);
    expect(text.endsWith('\r\n')).toBe(true);
  });

  it('for spreadsheets has a byte order mark and no formulas in text', async () => {
    const bytes = await bytesOf(await run({ format: 'csv', profile: 'spreadsheet' }));
    expect([...bytes.subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
    const [, ...rows] = parse(bytes.subarray(3), { record_delimiter: '\r\n' }) as string[][];
    const cell = (seq: number, name: string) => rows[seq]?.[[...EVENT_COLUMNS, 'prev_hash'].indexOf(name)];
    expect(cell(0, 'actor')).toBe("'=cmd()");
    expect(cell(0, 'old_value')).toBe("'=1+1");
    // A number is no text: it stays as it is.
    expect(cell(0, 'new_value')).toBe('-5');
    expect([cell(200, 'actor'), cell(200, 'source'), cell(200, 'correlation_id')]).toEqual(["'@x", "'+y", "'\ttab"]);
    expect(cell(400, 'old_value')).toBe("'-1");
    expect([cell(500, 'field'), cell(500, 'old_value')]).toEqual(["'\r", "'\n"]);
    expect(cell(1, 'actor')).toBe(expected[1]?.actor);
    for (const [seq, row] of rows.entries()) {
      const plain = csvRow(expected[seq] as Expected);
      expect(row.map((value, index) => (value === `'${plain[index]}` ? plain[index] : value))).toEqual(plain);
    }
  });
});

describe('filters', () => {
  const check = async (filter: ExportRequest['filter'], keep: (event: Expected) => boolean) => {
    const text = await textOf(await run({ format: 'ndjson', filter: filter ?? {} }));
    const wanted = expected.filter(keep);
    expect(text.split('\n').slice(0, -1)).toEqual(wanted.map((event) => eventJson(event, event.prev_hash)));
    return wanted.length;
  };

  it('choose events, and prev_hash stays that of the event before', async () => {
    expect(await check({ entityType: 'order' }, (event) => event.entity_type === 'order')).toBeGreaterThan(100);
    const { entity_id } = expected[1] as Expected;
    await check({ entityId: entity_id }, (event) => event.entity_id === entity_id);
    await check({ action: 'delete', field: '*' }, (event) => event.action === 'delete' && event.field === '*');
    await check({ actor: 'quote"' }, (event) => event.actor === 'quote"');
    await check({ source: 'api' }, (event) => event.source === 'api');
    await check({ correlationId: '\ttab' }, (event) => event.correlation_id === '\ttab');
  });

  it('bound occurred_at from the left, inclusive, to the right, exclusive', async () => {
    const times = expected.map((event) => event.occurred_at).sort();
    const [from, to] = [times[500] as string, times[900] as string];
    expect(await check({ from, to }, (event) => event.occurred_at >= from && event.occurred_at < to)).toBeGreaterThan(
      300,
    );
    await check({ until: from }, (event) => event.occurred_at <= from);
  });

  it('that match nothing give an answer without rows', async () => {
    for (const entityId of ["'; DROP", 'x\0', '\ud800', 'nobody']) {
      const answer = await run({ format: 'csv', filter: { entityId } });
      expect(answer.meta).toEqual({ rows: 0 });
      expect(await textOf(answer)).toBe(`${[...EVENT_COLUMNS, 'prev_hash'].join(',')}\r\n`);
    }
  });
});

describe('other formats', () => {
  it('NDJSON is the event as the API prints it', async () => {
    const lines = (await textOf(await run({ format: 'ndjson' }))).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines).toEqual(expected.map((event) => eventJson(event, event.prev_hash)));
  });

  it('Parquet has the types of the table and prev_hash as bytes', async () => {
    const path = join(harness.dir, 'export.parquet');
    writeFileSync(path, await bytesOf(await run({ format: 'parquet' })));
    const { connection } = harness;
    const types = await connection.runAndReadAll(`DESCRIBE SELECT * FROM read_parquet('${path}')`);
    expect(types.getRowsJson().map(([name, type]) => `${name} ${type}`)).toEqual(
      [...EVENT_COLUMNS, 'prev_hash'].map((name) => {
        if (name === 'seq') return 'seq BIGINT';
        if (name.endsWith('_at')) return `${name} TIMESTAMP WITH TIME ZONE`;
        return `${name} ${name.endsWith('_hash') ? 'BLOB' : 'VARCHAR'}`;
      }),
    );
    const rows = await connection.runAndReadAll(
      `SELECT seq, actor, metadata, lower(hex(event_hash)) AS h, lower(hex(prev_hash)) AS p FROM read_parquet('${path}')`,
    );
    expect(rows.getRowsJson()).toEqual(
      expected.map((event) => [String(event.seq), event.actor, event.metadata, event.event_hash, event.prev_hash]),
    );
  });

  it('Arrow has the same', async () => {
    const table = tableFromIPC(await bytesOf(await run({ format: 'arrow' })));
    expect(table.numRows).toBe(EVENTS);
    expect(table.schema.fields.map(({ name }) => name)).toEqual([...EVENT_COLUMNS, 'prev_hash']);
    for (const seq of [0, 1, 100, 300, 2_999]) {
      const event = expected[seq] as Expected;
      const row = table.get(seq)?.toJSON() as Record<string, unknown>;
      expect(row).toMatchObject({
        seq: BigInt(seq),
        actor: event.actor,
        old_value: event.old_value,
        source: event.source,
      });
      expect(Buffer.from(row.prev_hash as Uint8Array).toString('hex')).toBe(event.prev_hash);
      expect(Buffer.from(row.event_hash as Uint8Array).toString('hex')).toBe(event.event_hash);
    }
  });

  it.each(['csv', 'ndjson', 'parquet', 'arrow'] as const)('an empty journal is a whole, empty %s', async (format) => {
    const empty = { ...files, committedSeq: -1, durableSeq: -1, segments: [], tail: [] };
    const bytes = await bytesOf(await run({ format }, empty));
    if (format === 'arrow') expect(tableFromIPC(bytes)).toMatchObject({ numRows: 0, numCols: 18 });
    if (format === 'parquet') expect(bytes.subarray(-4).toString()).toBe('PAR1');
    if (format === 'csv') expect(bytes.toString()).toContain('event_hash,prev_hash\r\n');
    if (format === 'ndjson') expect(bytes).toHaveLength(0);
  });

  it('only a tail, and only segments, are whole journals too', async () => {
    const { connection, dir } = harness;
    for (const [name, spec] of Object.entries({
      tail: { events: 50, tail: 50 },
      sealed: { events: 50, segments: 5 },
    })) {
      const source = await makeJournal(connection, join(dir, name), spec);
      const lines = (await textOf(await run({ format: 'ndjson' }, source))).trimEnd().split('\n');
      expect(lines.map((line) => JSON.parse(line).seq)).toEqual(Array.from({ length: 50 }, (_, seq) => seq));
    }
  });
});

describe('large journals', () => {
  const ordered = async (source: SnapshotFiles, count: number, memoryBytes = 128 * 1024 * 1024) => {
    const answer = await run({ format: 'ndjson', limits: { ...LIMITS, memoryBytes } }, source);
    let [seq, prev, rest] = [0, ZERO_HASH, ''];
    for await (const chunk of answer.body) {
      const lines = (rest + Buffer.from(chunk).toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!line.startsWith(`{"seq":${seq},`)) throw new Error(`seq ${seq} is not ${line.slice(0, 40)}`);
        if (!line.endsWith(`"prev_hash":"${prev}"}`)) throw new Error(`prev_hash at ${seq}: ${line.slice(-160)}`);
        prev = line.slice(-145, -81);
        seq += 1;
      }
    }
    expect(seq).toBe(count);
  };

  it('are in order over segments that follow each other, in little memory', async () => {
    const count = 250_000;
    const source = await makeJournal(harness.connection, join(harness.dir, 'large'), {
      events: count,
      tail: 5_000,
      segments: 2,
    });
    await ordered(source, count);
  }, 120_000);

  it('are in order where a slice is more text than is held', async () => {
    const count = 20_000;
    const filler = 'x'.repeat(3_000);
    const source = await makeJournal(harness.connection, join(harness.dir, 'wide'), {
      events: count,
      segments: 1,
      make: (index) => ({ ...madeEvent(index), new_value: JSON.stringify(`${index} ${filler}`) }),
    });
    // Reading such wide events takes DuckDB more than the lines do.
    const memoryBytes = 512 * 1024 * 1024;
    await ordered(source, count, memoryBytes);
    const filter = { action: 'update' };
    const lines = (await textOf(await run({ format: 'ndjson', filter, limits: { ...LIMITS, memoryBytes } }, source)))
      .trimEnd()
      .split('\n');
    const seqs = lines.map((line) => JSON.parse(line).seq as number);
    const updated = Array.from({ length: count }, (_, seq) => seq).filter((seq) => madeEvent(seq).action === 'update');
    expect(seqs).toEqual(updated);
  }, 120_000);

  it('are in order over segments that all overlap, as compaction leaves them', async () => {
    const count = 450_000;
    const source = await makeJournal(harness.connection, join(harness.dir, 'compacted'), {
      events: count,
      segments: 3,
      overlapping: true,
    });
    await ordered(source, count);
    const path = join(harness.dir, 'compacted.parquet');
    writeFileSync(path, await bytesOf(await run({ format: 'parquet' }, source)));
    const { connection } = harness;
    const disorder = await connection.runAndReadAll(
      `SELECT count(*)::INTEGER, count(*) FILTER (WHERE seq <> file_row_number)::INTEGER FROM read_parquet('${path}', file_row_number = true)`,
    );
    expect(disorder.getRowsJS()).toEqual([[count, 0]]);
  }, 120_000);

  it('are the same bytes before and after compaction, with awkward texts and large events', async () => {
    const { connection, dir } = harness;
    const large = (index: number) => JSON.stringify(`"\\\n${index}`.repeat(8_000));
    const spec = {
      events: 140_000,
      make: (index: number) => ({ ...make(index), ...(index % 5_000 === 3 ? { new_value: large(index) } : {}) }),
    };
    const before = await makeJournal(connection, join(dir, 'before'), { ...spec, segments: 20 });
    const after = await makeJournal(connection, join(dir, 'after'), { ...spec, segments: 3, overlapping: true });
    for (const request of [
      { format: 'csv' },
      { format: 'ndjson' },
      { format: 'csv', profile: 'spreadsheet', filter: { action: 'delete' } },
    ] as const) {
      const [sum, sumAfter] = [await sumOf(await run(request, before)), await sumOf(await run(request, after))];
      expect(sumAfter).toEqual(sum);
      expect(sum.bytes).toBeGreaterThan(1_000_000);
    }
  }, 120_000);
});

async function sumOf({ body }: { body: ReadableStream<Uint8Array> }) {
  const md5 = createHash('md5');
  let bytes = 0;
  for await (const chunk of body) {
    md5.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, md5: md5.digest('hex') };
}

describe('a broken segment', () => {
  const lengthOf = async (answer: Parameters<typeof bytesOf>[0]) => (await bytesOf(answer)).length;

  it.each(['csv', 'ndjson', 'parquet', 'arrow'] as const)('never makes a short %s', async (format) => {
    const { connection, dir } = harness;
    const source = await makeJournal(connection, join(dir, `broken-${format}`), { events: 60_000, segments: 2 });
    const path = source.segments[1]?.path as string;
    const bytes = readFileSync(path);
    // Zeros in half of the data, page headers included; the footer still reads well.
    bytes.fill(0, 4, bytes.length / 2);
    writeFileSync(path, bytes);
    await expect(run({ format }, source).then(lengthOf)).rejects.toMatchObject({ name: 'IndelibleError' });
  });

  it.each(['csv', 'ndjson'] as const)('with an event twice, in place of another, never makes a %s', async (format) => {
    const { connection, dir } = harness;
    const source = await makeJournal(connection, join(dir, `twice-${format}`), { events: 500, segments: 2 });
    const path = join(dir, `twice-${format}.parquet`);
    await connection.run(
      `COPY (SELECT * REPLACE (CASE WHEN seq = 17 THEN 18 ELSE seq END AS seq) FROM read_parquet('${source.segments[0]?.path}')) TO '${path}' (FORMAT parquet)`,
    );
    Object.assign(source.segments[0] as object, { path });
    await expect(run({ format }, source).then(lengthOf)).rejects.toMatchObject({ name: 'IndelibleError' });
  });

  it('that lacks rows makes the answer fail, not shrink', async () => {
    const { connection, dir } = harness;
    const source = await makeJournal(connection, join(dir, 'lacking'), { events: 500, segments: 2 });
    const path = join(dir, 'lacking.parquet');
    await connection.run(
      `COPY (SELECT * FROM read_parquet('${source.segments[0]?.path}') WHERE seq <> 17) TO '${path}' (FORMAT parquet)`,
    );
    Object.assign(source.segments[0] as object, { path });
    await expect(run({ format: 'csv' }, source).then(lengthOf)).rejects.toMatchObject({ name: 'IndelibleError' });
  });
});
