import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMITTED, DURABLE, draft, drafts, errorOf, Lab, readAll } from '../support/journal-lab.ts';
import { JournalProcess } from '../support/journal-process.ts';

let lab: Lab;
const processes: JournalProcess[] = [];
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  for (const child of processes.splice(0)) await child.kill();
  await lab.dispose();
});

function started(options: Record<string, unknown> = {}): JournalProcess {
  const child = new JournalProcess({ dataDir: lab.dataDir, storeDir: lab.storeDir, ...options });
  processes.push(child);
  return child;
}

describe('a data directory', () => {
  it('is held by one process: the second is refused with its PID, the first goes on', async () => {
    const first = started();
    await first.heard('open');
    const refused = await errorOf(lab.open());
    expect(refused).toMatchObject({ kind: 'fenced', message: expect.stringContaining(`process ${first.pid}`) });
    expect(refused.message).toContain(lab.dataDir);
    first.send({ type: 'append', drafts: [draft({ event_id: 'a' })] });
    expect(await first.heard('appended')).toMatchObject({ receipts: [{ event_id: 'a', seq: 0 }] });
  });

  it('is free as soon as its process is killed', async () => {
    const first = started();
    await first.heard('open');
    first.send({ type: 'append', drafts: [draft({ event_id: 'a' })] });
    await first.heard('appended');
    await first.kill();
    const journals = await lab.open();
    expect((await readAll(journals, 'acme')).map((event) => event.event_id)).toEqual(['a']);
  });

  it('that cannot be opened for another reason is not said to be in use', async () => {
    await lab.close(await lab.open());
    writeFileSync(join(lab.dataDir, 'lock.duckdb'), 'rubbish'.repeat(1000));
    const error = await errorOf(lab.open());
    expect(error.message).not.toMatch(/in use/);
    expect(error.kind).not.toBe('fenced');
  });
});

describe('a store', () => {
  it('belongs to one data directory: another is refused before it takes anything', async () => {
    const first = await lab.open();
    await first.append('acme', drafts('a', 1), COMMITTED);
    await lab.close(first);
    const refused = await errorOf(lab.open({ dataDir: join(lab.dir, 'other') }));
    expect(refused).toMatchObject({ kind: 'fenced', message: expect.stringContaining('--take-over') });
    const again = await lab.open();
    expect(await again.append('acme', drafts('a', 1), DURABLE)).toMatchObject({ duplicates: 1 });
  });

  it('is claimed once, however often it is opened', async () => {
    for (let i = 0; i < 3; i++) await lab.close(await lab.open());
    expect(readdirSync(join(lab.storeDir, '_indelible', 'owners'))).toEqual(['00000000000000000001.json']);
  });

  it('gets one owner where several start at once', async () => {
    const outcomes = await Promise.allSettled(
      ['one', 'two', 'three'].map((name) => lab.open({ dataDir: join(lab.dir, name) })),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ kind: 'fenced' });
    }
  });

  it('can be taken over: the new one goes on, the old one stops at its next seal and keeps its log', async () => {
    const old = started();
    await old.heard('open');
    old.send({ type: 'append', drafts: [draft({ event_id: 'a' })] });
    await old.heard('appended');
    old.send({ type: 'flush' });
    await old.heard('flushed');
    const taker = await lab.open({ dataDir: join(lab.dir, 'taker'), takeOver: true });
    await taker.append('acme', [draft({ event_id: 'b' })], COMMITTED);

    old.said.length = 0;
    old.send({ type: 'append', drafts: [draft({ event_id: 'c' })] });
    await old.heard('appended');
    old.send({ type: 'flush' });
    expect(await old.heard('failed')).toMatchObject({ kind: 'fenced', message: expect.stringContaining('taken over') });
    old.said.length = 0;
    old.send({ type: 'append', drafts: [draft({ event_id: 'd' })] });
    expect(await old.heard('failed')).toMatchObject({ kind: 'fenced' });
    expect(readdirSync(lab.walDir)).toHaveLength(1);

    await taker.append('acme', [draft({ event_id: 'e' })], COMMITTED);
    expect((await readAll(taker, 'acme')).map((event) => event.event_id)).toEqual(['a', 'b', 'e']);
    await old.kill();
    expect(await errorOf(lab.open())).toMatchObject({ kind: 'fenced' });
  });

  it('that was taken over refuses those who wait for a commit', async () => {
    const old = await lab.open();
    await old.append('acme', drafts('a', 1), COMMITTED);
    const taker = await lab.open({ dataDir: join(lab.dir, 'taker'), takeOver: true });
    expect(await errorOf(old.append('acme', drafts('b', 1), COMMITTED))).toMatchObject({ kind: 'fenced' });
    expect(await errorOf(old.append('new', drafts('n', 1), DURABLE))).toMatchObject({ kind: 'fenced' });
    expect((await readAll(taker, 'acme')).map((event) => event.event_id)).toEqual(['a0']);
  });
});
