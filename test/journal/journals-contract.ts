import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AppendResult, type DraftEvent, type Journals, scanEvents } from '../../journal/index.ts';
import { chainFault, COMMITTED, DURABLE, draft, drafts, errorOf, readAll } from '../support/journal-lab.ts';

export type JournalsUnderTest = {
  journals: Journals;
  /** Lets go of them in peace, and opens them again over the same events. */
  restart(): Promise<Journals>;
  dispose(): Promise<void>;
};

let opened: JournalsUnderTest;
let journals: Journals;

const ids = async (workspace: string) => (await events(workspace)).map(({ event_id }) => event_id);

/** Everything that was appended and answered before, whose chain holds. */
async function events(workspace: string) {
  await journals.flush(workspace);
  await journals.reached(workspace, '0');
  const all = await readAll(journals, workspace);
  expect(chainFault(all)).toBeUndefined();
  return all;
}

const names = (prefix: string, count: number) => drafts(prefix, count).map(({ event_id }) => event_id);

/** The receipts say what was recorded, in the order of the request. */
async function expectRecorded(workspace: string, sent: readonly DraftEvent[], result: AppendResult): Promise<void> {
  const all = await events(workspace);
  expect(result.receipts).toHaveLength(sent.length);
  for (const [index, { seq, event_id, event_hash, recorded_at }] of result.receipts.entries()) {
    expect(all[seq]).toMatchObject({ seq, event_id, event_hash, recorded_at });
    const { event_id: id, occurred_at: _, ...content } = sent[index] as DraftEvent;
    expect(all[seq]).toMatchObject(id === null ? content : { ...content, event_id: id });
  }
  if (result.last_seq !== null) expect(all[result.last_seq]?.event_hash).toBe(result.head_hash);
}

/** What every adapter of Journals must do. `open` gives journals that hold nothing. */
export function journalsContract(name: string, open: () => Promise<JournalsUnderTest>): void {
  describe(`${name} as journals`, () => {
    beforeEach(async () => {
      opened = await open();
      journals = opened.journals;
    });
    afterEach(() => opened.dispose());
    takeEvents();
    takeEventsOnce();
    takeMuch();
    knowWorkspaces();
    showWhatIsThere();
    tellOfChanges();
  });
}

function takeEvents(): void {
  it.each([
    ['durable', DURABLE],
    ['committed', COMMITTED],
  ])('take events in the order of the requests, each with its receipt: %s', async (_, how) => {
    const first = await journals.append('acme', drafts('a', 5), how);
    expect(first).toMatchObject({ count: 5, duplicates: 0, first_seq: 0, last_seq: 4 });
    const second = await journals.append('acme', drafts('b', 3), how);
    expect(second).toMatchObject({ count: 3, duplicates: 0, first_seq: 5, last_seq: 7 });
    await expectRecorded('acme', drafts('a', 5), first);
    await expectRecorded('acme', drafts('b', 3), second);
    expect(await ids('acme')).toEqual([...names('a', 5), ...names('b', 3)]);
    if (how === COMMITTED) for (const { ack } of [...first.receipts, ...second.receipts]) expect(ack).toBe('committed');
  });

  it('give an event without an id one of its own', async () => {
    const sent = [draft({ entity_id: 'x' }), draft({ entity_id: 'y' }), draft({ event_id: 'mine' })];
    const first = await journals.append('acme', sent, DURABLE);
    const again = await journals.append('acme', sent, DURABLE);
    expect(again).toMatchObject({ count: 2, duplicates: 1 });
    const given = [...first.receipts, ...again.receipts].map(({ event_id }) => event_id);
    expect(new Set(given).size).toBe(5);
    await expectRecorded('acme', sent, first);
    await expectRecorded('acme', sent, again);
  });

  it('take what callers sent side by side, each whole', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => journals.append('acme', drafts(`c${i}-`, 5), DURABLE)),
    );
    const all = await ids('acme');
    expect(all).toHaveLength(100);
    for (const [i, { first_seq }] of results.entries())
      expect(all.slice(first_seq ?? -1, (first_seq ?? -1) + 5)).toEqual(names(`c${i}-`, 5));
  });

  it('take nothing where there is nothing, and say where the journal ends', async () => {
    const none = { count: 0, duplicates: 0, first_seq: null, last_seq: null, receipts: [] };
    const empty = await journals.append('acme', [], DURABLE);
    expect(empty).toEqual({ ...none, head_hash: '0'.repeat(64) });
    const { head_hash } = await journals.append('acme', drafts('a', 2), COMMITTED);
    await journals.reached('acme', '1');
    expect(await journals.append('acme', [], DURABLE)).toEqual({ ...none, head_hash });
  });
}

function takeEventsOnce(): void {
  it('take an event once, in one request, in two, and after a restart; the first receipt stands', async () => {
    const twice = [...drafts('a', 3), ...drafts('a', 3)];
    const first = await journals.append('acme', twice, COMMITTED);
    expect(first).toMatchObject({ count: 3, duplicates: 3, first_seq: 0, last_seq: 2 });
    expect(first.receipts.slice(3)).toEqual(first.receipts.slice(0, 3));
    const again = await journals.append('acme', [...drafts('a', 3), ...drafts('b', 1)], COMMITTED);
    expect(again).toMatchObject({ count: 1, duplicates: 3, first_seq: 3, last_seq: 3 });
    expect(again.receipts.slice(0, 3)).toEqual(first.receipts.slice(0, 3));
    journals = await opened.restart();
    const after = await journals.append('acme', drafts('a', 3), COMMITTED);
    expect(after).toMatchObject({ count: 0, duplicates: 3, first_seq: null, last_seq: null });
    expect(after.receipts).toEqual(first.receipts.slice(0, 3));
    expect(after.head_hash).toBe(again.head_hash);
    expect(await ids('acme')).toEqual([...names('a', 3), 'b0']);
  });

  it('take an event once from many callers at one moment', async () => {
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        journals.append('acme', [...drafts('same', 2), ...drafts(`${i}-`, 1)], DURABLE),
      ),
    );
    expect(results.reduce((sum, { count }) => sum + count, 0)).toBe(32);
    for (const { receipts } of results)
      expect(receipts[0]).toMatchObject({ event_hash: results[0]?.receipts[0]?.event_hash, event_id: 'same0' });
    expect(await ids('acme')).toHaveLength(32);
  });

  it('refuse an id that is taken by other content, and the whole request with it', async () => {
    await journals.append('acme', drafts('a', 3), COMMITTED);
    const other = draft({ event_id: 'a1', actor: 'eve' });
    const error = await errorOf(journals.append('acme', [...drafts('n', 2), other, ...drafts('m', 1)], DURABLE));
    expect(error).toMatchObject({
      kind: 'conflict',
      errors: [{ pointer: '/2/event_id', message: expect.stringContaining("'a1'") }],
    });
    const inOne = [draft({ event_id: 'y', actor: 'a' }), draft({ event_id: 'y', actor: 'b' })];
    expect(await errorOf(journals.append('acme', inOne, DURABLE))).toMatchObject({ kind: 'conflict' });
    expect(await ids('acme')).toEqual(names('a', 3));
    journals = await opened.restart();
    expect(await errorOf(journals.append('acme', [other], DURABLE))).toMatchObject({
      kind: 'conflict',
      errors: [{ pointer: '/event_id' }],
    });
    expect(await journals.append('acme', [...drafts('n', 2), ...drafts('a', 3)], DURABLE)).toMatchObject({
      count: 2,
      duplicates: 3,
    });
    expect(await ids('acme')).toEqual([...names('a', 3), ...names('n', 2)]);
  });
}

function takeMuch(): void {
  it('take ten thousand events at once', async () => {
    const sent = drafts('big', 10_000);
    const result = await journals.append('acme', sent, COMMITTED);
    expect(result).toMatchObject({ count: 10_000, first_seq: 0, last_seq: 9_999 });
    await expectRecorded('acme', sent, result);
    expect(await journals.append('acme', sent, COMMITTED)).toMatchObject({ count: 0, duplicates: 10_000 });
  });

  it('take a body of many megabytes as it was scanned', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `${i} ${'é'.repeat((i * 37) % 20_000)}`);
    const body = JSON.stringify(
      texts.map((text, i) => ({
        ...{ event_id: `t${i}`, entity_type: 'file', entity_id: `e${i}`, action: 'update', actor: 'ann' },
        new_value: { text },
      })),
    );
    expect(Buffer.byteLength(body)).toBeGreaterThan(10 * 256 * 1024);
    const batch = scanEvents(Buffer.from(body), 'acme');
    if (!batch) throw new Error('the body can be scanned');
    expect(await journals.append('acme', batch, COMMITTED)).toMatchObject({ count: 300, duplicates: 0 });
    const all = await events('acme');
    expect(all.map(({ new_value }) => (JSON.parse(new_value ?? '') as { text: string }).text)).toEqual(texts);
    expect(await journals.append('acme', batch, COMMITTED)).toMatchObject({ count: 0, duplicates: 300 });
  });

  it('take any text, and give it back as it was', async () => {
    const odd = [
      '\u0001',
      '🚀',
      '\u2028',
      '"\\/',
      'e\u0301',
      '\u{10ffff}',
      '\t\n\r',
      '</script>',
      '٣',
      ' ',
      'x'.repeat(900),
    ];
    const sent = odd.map((text, i) =>
      draft({
        ...{ event_id: `id ${text}`.slice(0, 200), entity_id: text, field: text, actor: text, source: text },
        ...{ new_value: JSON.stringify({ [text]: text }), metadata: i % 2 === 0 ? '[1.10,1e400]' : null },
      }),
    );
    const result = await journals.append('acme', sent, COMMITTED);
    await expectRecorded('acme', sent, result);
    expect(await journals.append('acme', sent, COMMITTED)).toMatchObject({ count: 0, duplicates: odd.length });
  });
}

function knowWorkspaces(): void {
  it('make a workspace only where they are asked to', async () => {
    const refused = journals.append('acme', drafts('a', 1), { ...DURABLE, create: false });
    expect(await errorOf(refused)).toMatchObject({ kind: 'not-found' });
    expect(await errorOf(journals.append('acme', [], { ...DURABLE, create: false }))).toMatchObject({
      kind: 'not-found',
    });
    for (const ask of [
      () => journals.snapshot('acme'),
      () => journals.find('acme', 'a0'),
      () => journals.stats('acme'),
      () => journals.flush('acme'),
    ])
      expect(await errorOf(ask())).toMatchObject({ kind: 'not-found' });
    expect([journals.has('acme'), journals.workspaces(), journals.durableSeq('acme')]).toEqual([false, [], -1]);
    await journals.append('acme', drafts('a', 1), DURABLE);
    expect([journals.has('acme'), journals.workspaces()]).toEqual([true, ['acme']]);
    await journals.append('acme', drafts('b', 1), { ...DURABLE, create: false });
    expect(await ids('acme')).toEqual(['a0', 'b0']);
  });

  it('keep workspaces apart, and know them after a restart', async () => {
    await Promise.all(['acme', 'beta', 'a', 'zz-9'].map((name) => journals.append(name, drafts('same', 3), COMMITTED)));
    journals = await opened.restart();
    expect(journals.workspaces()).toEqual(['a', 'acme', 'beta', 'zz-9']);
    for (const name of journals.workspaces()) {
      expect(await ids(name)).toEqual(names('same', 3));
      expect(new Set((await events(name)).map(({ workspace_id }) => workspace_id))).toEqual(new Set([name]));
    }
    expect(await errorOf(journals.append('acme', [draft({ event_id: 'same1' })], DURABLE))).toMatchObject({
      kind: 'conflict',
    });
  });
}

function showWhatIsThere(): void {
  it('show a snapshot as it was, whatever comes after it', async () => {
    await journals.append('acme', drafts('a', 4), COMMITTED);
    await journals.reached('acme', '3');
    const snapshot = await journals.snapshot('acme');
    try {
      await journals.append('acme', drafts('b', 4), COMMITTED);
      await journals.reached('acme', '7');
      expect(snapshot.committedSeq + [...snapshot.tailEvents()].length).toBe(3);
      const { paths } = await snapshot.hold(snapshot.files);
      expect(paths.length).toBeGreaterThan(0);
    } finally {
      snapshot.release();
    }
    expect(await ids('acme')).toEqual([...names('a', 4), ...names('b', 4)]);
  });

  it('commit what was appended when they are asked to, and count it', async () => {
    await journals.append('acme', drafts('a', 4), DURABLE);
    await journals.append('beta', drafts('b', 4), DURABLE);
    await journals.flush('acme');
    await journals.reached('acme', '3');
    expect(await journals.stats('acme')).toMatchObject({ total_events: 4, buffered_events: 0 });
    await journals.flush();
    await journals.reached('beta', '3');
    expect(await journals.stats('beta')).toMatchObject({ total_events: 4, buffered_events: 0 });
    expect(await journals.flush()).toEqual({ events: 0 });
  });

  it('find events by their ids, and none that is not there', async () => {
    await journals.append('acme', drafts('a', 50), DURABLE);
    await journals.flush('acme');
    await journals.append('acme', drafts('b', 50), DURABLE);
    await journals.reached('acme', '99');
    expect(await journals.find('acme', 'a7')).toMatchObject({ seq: 7, event_id: 'a7', new_value: '7' });
    expect(await journals.find('acme', 'b7')).toMatchObject({ seq: 57, event_id: 'b7' });
    expect(await journals.find('acme', 'c7')).toBeUndefined();
    const found = await journals.findAll('acme', ['b1', 'nothing', 'a49', 'b1']);
    expect([...found.keys()].sort()).toEqual(['a49', 'b1']);
    expect((await journals.findAll('acme', [])).size).toBe(0);
    await journals.append('acme', drafts('c', 8), DURABLE);
    await journals.reached('acme', '107');
    expect(await journals.find('acme', 'c7')).toMatchObject({ seq: 107 });
  });

  it('reach what an append said, and refuse what names nothing', async () => {
    const { last_seq } = await journals.append('acme', drafts('a', 3), DURABLE);
    await journals.reached('acme', String(last_seq));
    expect(journals.durableSeq('acme')).toBe(2);
    for (const odd of ['', '-1', '1.0', '01', 'abc', ' 1', '1e3'])
      expect(await errorOf(journals.reached('acme', odd)), odd).toMatchObject({ kind: 'invalid' });
  });
}

function tellOfChanges(): void {
  it('tell who listens, until they are told to stop', async () => {
    await journals.append('acme', drafts('a', 1), COMMITTED);
    await journals.reached('acme', '0');
    let heard = Promise.withResolvers<void>();
    let calls = 0;
    const stop = journals.subscribe('acme', () => {
      calls += 1;
      heard.resolve();
    });
    for (let round = 0; round < 2; round++) {
      heard = Promise.withResolvers<void>();
      await journals.append('acme', drafts(`b${round}-`, 1), DURABLE);
      await heard.promise;
      expect(journals.durableSeq('acme')).toBe(round + 1);
    }
    stop();
    const before = calls;
    await journals.append('acme', drafts('c', 1), COMMITTED);
    await journals.reached('acme', '3');
    expect(calls).toBe(before);
  });

  it('tell of commits, of every workspace that is followed', async () => {
    await journals.append('acme', drafts('a', 1), COMMITTED);
    await journals.append('beta', drafts('a', 1), COMMITTED);
    for (const name of ['acme', 'beta']) await journals.reached(name, '0');
    const heard = new Set<string>();
    const both = Promise.withResolvers<void>();
    const stop = journals.onCommitted((workspace) => {
      heard.add(workspace);
      if (heard.size === 2) both.resolve();
    });
    const stops = ['acme', 'beta'].map((name) => journals.subscribe(name, () => {}));
    await journals.append('acme', drafts('b', 1), COMMITTED);
    await journals.append('beta', drafts('b', 1), COMMITTED);
    await both.promise;
    for (const end of stops) end();
    stop();
    heard.clear();
    await journals.append('acme', drafts('c', 1), COMMITTED);
    await journals.reached('acme', '2');
    expect([...heard]).toEqual([]);
  });
}
