import { hash } from 'node:crypto';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { canonicalEvent, type JournalEvent, type SnapshotFiles } from '../../../journal/index.ts';
import { verifySnapshot } from '../../../queries/verify.ts';
import { LIMITS, useHarness } from './harness.ts';
import { madeEvent, makeJournal, walLine } from './journal-data.ts';

const harness = useHarness();
let files: SnapshotFiles;
let tampered = 0;

beforeAll(async () => {
  files = await makeJournal(harness.connection, join(harness.dir, 'journal'), {
    events: 1_000,
    tail: 100,
    segments: 3,
  });
});

const verify = (source: SnapshotFiles) => verifySnapshot(harness.pool, source, { limits: LIMITS });

/** The journal with its second segment (seqs 300 … 599) replaced by what this SELECT makes of it. */
async function tamper(select: string, more: Partial<SnapshotFiles> = {}): Promise<SnapshotFiles> {
  tampered += 1;
  const path = join(harness.dir, `tampered-${tampered}.parquet`);
  const segment = files.segments[1] as SnapshotFiles['segments'][number];
  const source = `read_parquet('${segment.path}')`;
  await harness.connection.run(
    `COPY (${select.replace('SEGMENT', source).replace('SEGMENT', source)}) TO '${path}' (FORMAT parquet)`,
  );
  return { ...files, segments: files.segments.map((old) => (old === segment ? { ...old, path } : old)), ...more };
}

const CHANGED = 'event_hash does not match the stored columns and the event before';

describe('a sound journal', () => {
  it('verifies, with its head', async () => {
    let head = '0'.repeat(64);
    for (let seq = 0; seq < 1_000; seq += 1) head = walLine(madeEvent(seq), seq, head).hash;
    expect(await verify(files)).toEqual({ valid: true, events: 1_000, head_hash: head, first_seq: 0, last_seq: 999 });
  });

  it('may be empty, or a tail only, or of segments that overlap', async () => {
    const empty = { ...files, committedSeq: -1, durableSeq: -1, segments: [], tail: [] };
    expect(await verify(empty)).toEqual({
      valid: true,
      events: 0,
      head_hash: '0'.repeat(64),
      first_seq: null,
      last_seq: null,
    });
    const { connection, dir } = harness;
    const tail = await makeJournal(connection, join(dir, 'tail'), { events: 30, tail: 30 });
    expect(await verify(tail)).toMatchObject({ valid: true, events: 30 });
    const overlapping = await makeJournal(connection, join(dir, 'overlapping'), {
      events: 900,
      segments: 3,
      overlapping: true,
    });
    expect(await verify(overlapping)).toMatchObject({ valid: true, events: 900, last_seq: 899 });
  });

  it('may hold every control character, quotes, backslashes and emoji', async () => {
    const controls = Array.from({ length: 0x20 }, (_, code) => String.fromCharCode(code))
      .slice(1)
      .join('');
    const texts = [
      controls,
      '\\u000b \\u000B \\\\u001F',
      '\u{E000}0\u{E000}1',
      '"\\',
      '😀\u2028\u2029\u007f\u0080\uffff',
      '',
    ];
    const make = (index: number) => {
      const text = texts[index % texts.length] as string;
      return {
        ...madeEvent(index),
        actor: text,
        entity_id: `${text}.`,
        old_value: JSON.stringify(text),
        metadata: JSON.stringify({ [text]: text }),
      };
    };
    const source = await makeJournal(harness.connection, join(harness.dir, 'awkward'), { events: 60, tail: 20, make });
    expect(await verify(source)).toMatchObject({ valid: true, events: 60 });
  });
});

describe('tampering', () => {
  it.each([
    ['actor', "'nobody'"],
    ['old_value', 'NULL'],
    ['new_value', '\'"other"\''],
    ['occurred_at', 'occurred_at + INTERVAL 1 MICROSECOND'],
    ['recorded_at', 'recorded_at + INTERVAL 1 MICROSECOND'],
    ['event_id', "event_id || 'x'"],
    ['metadata', "'{}'"],
    ['correlation_id', 'NULL'],
  ])('with %s of one event is found', async (column, value) => {
    const source = await tamper(
      `SELECT * REPLACE (CASE WHEN seq = 317 THEN ${value} ELSE ${column} END AS ${column}) FROM SEGMENT`,
    );
    expect(await verify(source)).toMatchObject({ valid: false, first_bad: { seq: 317, reason: CHANGED } });
  });

  it('with a replaced hash is found, and told from a changed column', async () => {
    const source = await tamper(
      "SELECT * REPLACE (CASE WHEN seq = 317 THEN unhex(repeat('ab', 32)) ELSE event_hash END AS event_hash) FROM SEGMENT",
    );
    expect(await verify(source)).toMatchObject({
      valid: false,
      first_bad: { seq: 317, reason: 'event_hash does not match the stored columns, and seq 318 does not link to it' },
    });
  });

  it('with a hash that is longer than one, of a text that goes on in it, is found', async () => {
    const event = madeEvent(317);
    let before = '0'.repeat(64);
    for (let seq = 0; seq < 317; seq += 1) before = walLine(madeEvent(seq), seq, before).hash;
    const made: JournalEvent = { ...event, seq: 317, event_hash: '' };
    const forged = hash('sha256', `\0${canonicalEvent(made, before)}AAAA`);
    const source = await tamper(
      `SELECT * REPLACE (CASE WHEN seq = 317 THEN unhex('000000${forged}') ELSE event_hash END AS event_hash) FROM SEGMENT`,
    );
    expect(await verify(source)).toMatchObject({ valid: false, first_bad: { seq: 317 } });
  });

  it('with a whole new chain from some seq on is found at the next segment', async () => {
    const { connection, dir } = harness;
    const make = (seq: number) => ({ ...madeEvent(seq), ...(seq === 317 ? { actor: 'somebody else' } : {}) });
    const forged = await makeJournal(connection, join(dir, 'forged'), { events: 1_000, tail: 100, segments: 3, make });
    const segments = files.segments.map((segment, index) =>
      index === 1 ? (forged.segments[1] as typeof segment) : segment,
    );
    expect(await verify({ ...files, segments })).toMatchObject({
      valid: false,
      first_bad: { seq: 600, reason: CHANGED },
    });
  });

  it('with a NULL, or no hash, is found', async () => {
    const noHash = await tamper(
      'SELECT * REPLACE (CASE WHEN seq = 400 THEN NULL ELSE event_hash END AS event_hash) FROM SEGMENT',
    );
    expect(await verify(noHash)).toMatchObject({ valid: false, first_bad: { seq: 400 } });
    const noActor = await tamper(
      'SELECT * REPLACE (CASE WHEN seq = 401 THEN NULL ELSE actor END AS actor) FROM SEGMENT',
    );
    expect(await verify(noActor)).toMatchObject({ valid: false, first_bad: { seq: 401, reason: CHANGED } });
    const noTime = await tamper(
      'SELECT * REPLACE (CASE WHEN seq = 402 THEN NULL ELSE recorded_at END AS recorded_at) FROM SEGMENT',
    );
    expect(await verify(noTime)).toMatchObject({ valid: false, first_bad: { seq: 402 } });
  });
});

describe('the sequence', () => {
  it.each([
    ['first of a segment', 300],
    ['one within', 317],
    ['last of a segment', 599],
  ])('names a missing event: %s', async (_name, seq) => {
    const source = await tamper(`SELECT * FROM SEGMENT WHERE seq <> ${seq}`);
    expect(await verify(source)).toMatchObject({ valid: false, first_bad: { seq, reason: `seq ${seq} is missing` } });
  });

  it('names an event that appears twice, also where another is missing', async () => {
    const twice = await tamper('SELECT * FROM SEGMENT UNION ALL SELECT * FROM SEGMENT WHERE seq = 317');
    expect(await verify(twice)).toMatchObject({
      valid: false,
      first_bad: { seq: 317, reason: 'seq 317 appears twice' },
    });
    const both = await tamper('SELECT * FROM SEGMENT WHERE seq <> 500 UNION ALL SELECT * FROM SEGMENT WHERE seq = 317');
    expect(await verify(both)).toMatchObject({
      valid: false,
      first_bad: { seq: 317, reason: 'seq 317 appears twice' },
    });
    const last = await tamper('SELECT * FROM SEGMENT WHERE seq <> 310 UNION ALL SELECT * FROM SEGMENT WHERE seq = 599');
    expect(await verify(last)).toMatchObject({ valid: false, first_bad: { seq: 310, reason: 'seq 310 is missing' } });
  });

  it('names a stranger: an event outside the range that the log promises', async () => {
    const early = await tamper('SELECT * REPLACE (CASE WHEN seq = 317 THEN 5 ELSE seq END AS seq) FROM SEGMENT');
    expect((await verify(early)).valid).toBe(false);
    const late = await tamper('SELECT * REPLACE (CASE WHEN seq = 599 THEN 5000 ELSE seq END AS seq) FROM SEGMENT');
    expect(await verify(late)).toMatchObject({ valid: false, first_bad: { seq: 599, reason: 'seq 599 is missing' } });
  });

  it('names a missing segment and a cut tail', async () => {
    const gap = { ...files, segments: files.segments.filter((_, index) => index !== 1) };
    expect(await verify(gap)).toMatchObject({ valid: false, first_bad: { seq: 300, reason: 'seq 300 is missing' } });
    const cut = { ...files, segments: files.segments.slice(0, 2) };
    expect(await verify(cut)).toMatchObject({ valid: false, first_bad: { seq: 600, reason: 'seq 600 is missing' } });
  });

  it('begins later only where an event says so', async () => {
    const { connection, dir } = harness;
    const hashAt = async (seq: number) => {
      let head = '0'.repeat(64);
      for (let at = 0; at <= seq; at += 1) head = walLine(madeEvent(at), at, head).hash;
      return head;
    };
    const start = { firstSeq: 300, beforeHash: await hashAt(299) };
    const cut = { ...files, start, segments: files.segments.slice(1) };
    expect(await verify(cut)).toMatchObject({
      valid: false,
      events: 700,
      first_bad: { seq: 299, reason: 'everything up to seq 299 is missing, and no event says why' },
    });
    const new_value = JSON.stringify({ first_seq: start.firstSeq, before_hash: start.beforeHash });
    const said = { entity_type: 'indelible.retention', action: 'delete', new_value };
    const make = (seq: number) => (seq === 950 ? { ...madeEvent(seq), ...said } : madeEvent(seq));
    const whole = await makeJournal(connection, join(dir, 'ordered'), { events: 1_000, segments: 10, make });
    const ordered = { ...whole, start, segments: whole.segments.slice(3) };
    expect(await verify(ordered)).toMatchObject({ valid: true, events: 700, first_seq: 300, last_seq: 999 });
    const lied = { ...ordered, start: { firstSeq: 300, beforeHash: '1'.repeat(64) } };
    expect(await verify(lied)).toMatchObject({ valid: false, first_bad: { seq: 300 } });
    const earlier = { ...whole, start: { firstSeq: 200, beforeHash: await hashAt(199) } };
    expect(await verify({ ...earlier, segments: whole.segments.slice(2) })).toMatchObject({
      valid: false,
      first_bad: { seq: 199 },
    });
  });

  it('names a clock that runs backwards, and a foreign workspace', async () => {
    const { connection, dir } = harness;
    const make = (seq: number) => {
      const event = madeEvent(seq);
      return seq === 57 ? { ...event, recorded_at: event.recorded_at.replace('2026', '2025') } : event;
    };
    const backwards = await makeJournal(connection, join(dir, 'backwards'), { events: 200, make });
    expect(await verify(backwards)).toMatchObject({
      valid: false,
      first_bad: { seq: 57, reason: 'recorded_at runs backwards at seq 57' },
    });
    expect(await verify({ ...files, workspace: 'other' })).toMatchObject({
      valid: false,
      first_bad: { seq: 0, reason: 'seq 0 is of another workspace' },
    });
  });
});

describe('a compacted journal, whose segments all overlap', () => {
  let compacted: SnapshotFiles;
  beforeAll(async () => {
    const { connection, dir } = harness;
    const spec = { events: 140_000, tail: 500, segments: 3, overlapping: true };
    compacted = await makeJournal(connection, join(dir, 'compacted'), spec);
  }, 60_000);

  const withSegment = async (select: string): Promise<SnapshotFiles> => {
    tampered += 1;
    const path = join(harness.dir, `tampered-${tampered}.parquet`);
    const [first, ...others] = compacted.segments as [SnapshotFiles['segments'][number]];
    const source = `read_parquet('${first.path}')`;
    await harness.connection.run(`COPY (${select.replaceAll('SEGMENT', source)}) TO '${path}' (FORMAT parquet)`);
    return { ...compacted, segments: [{ ...first, path }, ...others] };
  };

  it('verifies', async () => {
    expect(await verify(compacted)).toMatchObject({ valid: true, events: 140_000, first_seq: 0, last_seq: 139_999 });
  });

  it.each([
    ['a changed column', "SELECT * REPLACE (if(seq = 90_000, 'nobody', actor) AS actor) FROM SEGMENT", 90_000, CHANGED],
    ['a missing event', 'SELECT * FROM SEGMENT WHERE seq <> 90_000', 90_000, 'seq 90000 is missing'],
    [
      'an event in place of another',
      'SELECT * REPLACE (if(seq = 90_000, 120_000, seq) AS seq) FROM SEGMENT',
      90_000,
      'seq 90000 is missing',
    ],
    [
      'an event twice',
      'SELECT * FROM SEGMENT UNION ALL SELECT * FROM SEGMENT WHERE seq = 90_000',
      90_000,
      'seq 90000 appears twice',
    ],
    [
      'an event that is of no segment',
      'SELECT * FROM SEGMENT UNION ALL SELECT * REPLACE (900_000 AS seq) FROM SEGMENT WHERE seq = 90_000',
      900_000,
      'seq 900000 is in a segment of other seqs',
    ],
    [
      'two faults: the lower one',
      "SELECT * REPLACE (if(seq = 60_000, 'x', actor) AS actor, if(seq = 90_000, 30_000, seq) AS seq) FROM SEGMENT",
      30_000,
      'seq 30000 appears twice',
    ],
  ])('names %s', async (_name, select, seq, reason) => {
    expect(await verify(await withSegment(select))).toMatchObject({ valid: false, first_bad: { seq, reason } });
  });
});
