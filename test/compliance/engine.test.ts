import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { VERDICT_TYPE, verdictDraft, verdictId } from '../../projections/index.ts';
import { clearedVerdict } from '../../src/judging/index.ts';
import { recorded } from '../judging/scripted-ports.ts';
import { DURABLE, drafts, Lab, readInMemory } from '../support/journal-lab.ts';
import {
  countBySource,
  engineOf,
  type Heard,
  idle,
  manySignals,
  send,
  signals,
  verdicts,
  watched,
} from './judging-lab.ts';

let lab: Lab;
let journals: Journals;
let engines: Heard[];
beforeEach(async () => {
  lab = new Lab();
  journals = await lab.open();
  engines = [];
});
afterEach(async () => {
  for (const { engine } of engines) await engine.stop();
  await lab.dispose();
});

async function engine(changed: Parameters<typeof engineOf>[2] = {}): Promise<Heard> {
  const heard = await engineOf(lab, journals, changed);
  engines.push(heard);
  return heard;
}

/** An engine that has taken up what is there. */
async function started(changed: Parameters<typeof engineOf>[2] = {}): Promise<Heard> {
  const heard = await engine(changed);
  await heard.engine.resume();
  return heard;
}

async function stop(heard: Heard): Promise<void> {
  await heard.engine.stop();
  engines.splice(engines.indexOf(heard), 1);
}

const position = () => join(lab.dataDir, 'compliance', 'acme', 'judged.json');

describe('every signal gets one verdict', () => {
  it('below, at and over the threshold, in the order of the journal for those below', async () => {
    const heard = await engine();
    await send(
      journals,
      signals(
        { source_id: 'below', anomaly_score: 0.7999 },
        { source_id: 'at', anomaly_score: 0.8 },
        { source_id: 'over', anomaly_score: 7 },
        { source_id: 'under zero', anomaly_score: -1 },
      ),
      heard,
    );
    await idle(heard);
    const all = await verdicts(journals);
    expect(
      Object.fromEntries(all.map(({ source_id, tier, routed_to_ai }) => [source_id, [tier, routed_to_ai]])),
    ).toEqual({
      below: ['threshold', false],
      at: ['rules', true],
      over: ['rules', true],
      'under zero': ['threshold', false],
    });
    expect(heard.judged).toHaveLength(4);
    for (const { verdict, receipt } of heard.judged) {
      expect(all.find(({ event }) => event.seq === receipt.seq)?.source_id).toBe(verdict.source_id);
    }
  });

  it('nobody is asked about a signal below the threshold', async () => {
    let asked = 0;
    const ai = async () => {
      asked += 1;
      return { model: undefined, embedder: undefined };
    };
    const heard = await engine({ ai });
    await send(journals, manySignals('low', 50, 0.7999), heard);
    await idle(heard);
    expect([heard.judged.length, asked]).toEqual([50, 0]);
    await send(journals, manySignals('at', 1, 0.8), heard);
    await idle(heard);
    expect([heard.judged.length, asked]).toEqual([51, 1]);
  });

  it('of those below the threshold in the order of the journal, over many batches', async () => {
    const heard = await engine();
    for (let at = 0; at < 5; at++) await send(journals, manySignals(`s${at}-`, 700), heard);
    await idle(heard);
    const all = await verdicts(journals);
    expect(all).toHaveLength(3_500);
    const seqs = all.map(({ axiom }) => Number(axiom.seq));
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    expect(heard.failures).toEqual([]);
  });

  it('what waits is told before anybody looked, and where there are no signals nothing waits', async () => {
    await send(journals, manySignals('s', 3));
    const heard = await engine();
    expect(heard.engine.queue('acme')).toEqual({ signals: 0, oldestAt: null, unreadSeqs: 3 });
    await heard.engine.resume();
    await idle(heard);
    await journals.append('acme', drafts('other', 5), DURABLE);
    await journals.append('beta', drafts('other', 5), DURABLE);
    for (const workspace of ['acme', 'beta']) {
      expect(heard.engine.queue(workspace)).toEqual({ signals: 0, oldestAt: null, unreadSeqs: 0 });
    }
  });

  it('how long a signal waited is told, and is never below zero, also where the clock is put back', async () => {
    const waited = async () => (await verdicts(journals)).map(({ timings }) => timings?.waited);
    const heard = await engine();
    await send(journals, signals({ source_id: 'a', anomaly_score: 0.1 }, { source_id: 'b', anomaly_score: 0.9 }));
    lab.clock.ms += 1_500;
    heard.engine.wake('acme');
    await idle(heard);
    expect(await waited()).toEqual([1_500, 1_500]);
    lab.clock.ms -= 60_000;
    await send(
      journals,
      signals({ source_id: 'c', anomaly_score: 0.1 }, { source_id: 'd', anomaly_score: 0.9 }),
      heard,
    );
    await idle(heard);
    expect(await waited()).toEqual([1_500, 1_500, 0, 0]);
  });

  it('the correlation id goes from the signal to its verdict', async () => {
    const heard = await engine();
    await send(journals, signals({ source_id: 's', anomaly_score: 0.1, correlation_id: 'trace-1' }), heard);
    await idle(heard);
    expect((await verdicts(journals)).map(({ event }) => event.correlation_id)).toEqual(['trace-1']);
  });

  it('a second signal of a source is recorded, and not judged again: in one batch, in the next, after a restart', async () => {
    const heard = await engine();
    const said = [1, 2, 3, 4].map((metric_value) => ({ source_id: 's', anomaly_score: 0.9, metric_value }));
    await send(journals, signals(...said.slice(0, 2)), heard);
    await idle(heard);
    await send(journals, signals(...said.slice(2, 3)), heard);
    await idle(heard);
    await stop(heard);
    const again = await started();
    await send(journals, signals(...said.slice(3)), again);
    await idle(again);
    expect((await verdicts(journals)).map(({ metric_value }) => metric_value)).toEqual([1]);
    expect([heard.repeated, again.repeated]).toEqual([['s', 's'], ['s']]);
  });

  it('signals without a source each have their own', async () => {
    const heard = await engine();
    const unknown = { anomaly_score: 0.9, metric_value: 5 };
    await send(journals, signals(unknown, unknown, { ...unknown, source_id: 'unknown' }), heard);
    await idle(heard);
    expect((await verdicts(journals)).map(({ axiom }) => axiom.seq)).toEqual([0, 1, 2]);
    expect(heard.repeated).toEqual([]);
  });
});

describe('where the early check is defeated', () => {
  it('the journal takes one verdict a source: two engines over the same signals, and the loser goes on', async () => {
    const dirs = ['one', 'two'].map((name) => join(lab.dataDir, name));
    const both = await Promise.all(dirs.map((dir) => engine({ dir })));
    // Neither sees verdicts that are not durable yet, and both are woken at once.
    for (let at = 0; at < 10; at++) {
      await send(journals, [...manySignals(`low${at}-`, 150), ...manySignals(`high${at}-`, 15, 0.9)], ...both);
    }
    for (const heard of both) await idle(heard);
    const all = await verdicts(journals);
    expect(all).toHaveLength(1_650);
    expect(new Set(countBySource(all).values())).toEqual(new Set([1]));
    for (const { failures, faults } of both) expect([failures, faults]).toEqual([[], []]);
  }, 60_000);

  it('a verdict with other content that was first stays, and the others of its batch are recorded', async () => {
    const early = signals({ source_id: 's5', anomaly_score: 0.1 });
    const [receipt] = await send(journals, early);
    const axiom = recorded({ source_id: 's5', seq: 0, event_id: String(receipt?.event_id) });
    // What the early check asks is answered as if nothing were there.
    const blind = new Proxy(journals, {
      get: (target, name) => {
        if (name === 'findAll') return async () => new Map();
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const first = { ...clearedVerdict(axiom, { version: 'other', threshold: 0.5 }, 1), risk_level: 'high' as const };
    await journals.append('acme', [verdictDraft(first, null)], DURABLE);
    const blinded = await engine({ journals: blind, dir: join(lab.dataDir, 'blind') });
    await send(
      journals,
      manySignals('s', 10).filter(({ entity_id }) => entity_id !== 's5'),
      blinded,
    );
    await idle(blinded);
    const all = await verdicts(journals);
    expect(countBySource(all).size).toBe(10);
    expect(all).toHaveLength(10);
    expect(all.find(({ source_id }) => source_id === 's5')?.risk_level).toBe('high');
    expect(blinded.repeated).toEqual(['s5']);
    expect(blinded.judged).toHaveLength(9);
  });
});

describe('a restart', () => {
  const readVerdicts = async () => (await verdicts(journals)).map(({ event }) => [event.seq, event.event_id]);

  it('takes up what was not judged, and nothing else', async () => {
    const heard = await engine();
    await send(journals, manySignals('a', 300), heard);
    await idle(heard);
    await stop(heard);
    await send(journals, [...manySignals('b', 300), ...manySignals('c', 3, 0.9)]);
    const again = await started();
    await idle(again);
    expect(again.judged).toHaveLength(303);
    expect(again.repeated).toEqual([]);
    expect(countBySource(await verdicts(journals)).size).toBe(603);
  });

  it.each([
    ['lost', () => undefined, 300],
    ['damaged', () => '{"seq":29', 300],
    ['of other shape', () => '{"seq":"9"}', 300],
    ['of another journal', (text: string) => text.replace(/"event_id":"[^"]+"/, '"event_id":"elsewhere"'), 300],
    ['of another position', (text: string) => text.replace(/"seq":\d+/, '"seq":7'), 300],
    ['as it was', (text: string) => text, 0],
  ])('with a position that is %s judges nothing twice', async (_, change, repeated) => {
    const heard = await engine();
    await send(journals, manySignals('a', 300), heard);
    await idle(heard);
    await stop(heard);
    const before = await readVerdicts();
    const changed = change(readFileSync(position(), 'utf8'));
    writeFileSync(position(), changed ?? '');
    const again = await started();
    await idle(again);
    expect(await readVerdicts()).toEqual(before);
    expect([again.judged.length, again.repeated.length]).toEqual([0, repeated]);
  });

  it('with a stale position looks at what came after it, once', async () => {
    const heard = await engine();
    await send(journals, manySignals('a', 300), heard);
    await idle(heard);
    await stop(heard);
    const stale = readFileSync(position(), 'utf8');
    const again = await started();
    await send(journals, manySignals('b', 200), again);
    await idle(again);
    await stop(again);
    writeFileSync(position(), stale);
    const third = await started();
    await idle(third);
    expect([third.judged.length, third.repeated.length]).toEqual([0, 200]);
  });

  it('without the directory of what is derived judges nothing twice', async () => {
    const heard = await engine();
    await send(journals, manySignals('a', 10), heard);
    await idle(heard);
    await stop(heard);
    expect(existsSync(position())).toBe(true);
    await lab.close(journals);
    journals = await lab.open();
    const again = await started({ dir: join(lab.dataDir, 'elsewhere') });
    await idle(again);
    expect(again.repeated).toHaveLength(10);
  });
});

describe('the index of verdicts', () => {
  it('is not made again at a start: what it was fed is not read', async () => {
    await send(journals, manySignals('high', 3, 0.9));
    await journals.flush();
    const heard = await started();
    await idle(heard);
    await stop(heard);
    await journals.flush();
    await lab.close(journals);
    journals = await lab.open();
    const { journals: seen, held } = watched(journals);
    const again = await started({ journals: seen });
    await idle(again);
    expect(again.engine.cachedVerdicts('acme')).toBe(1);
    expect(held).toEqual([]);
  });

  it('of another journal of the same name is not used', async () => {
    const heard = await engine();
    await send(journals, manySignals('high', 300, 0.9), heard);
    await idle(heard);
    await stop(heard);
    const other = new Lab();
    try {
      const theirs = await other.open();
      const { receipts } = await theirs.append('acme', drafts('other', 3), DURABLE);
      expect(receipts).toHaveLength(3);
      const foreign = await started({ journals: theirs });
      expect(foreign.engine.cachedVerdicts('acme')).toBe(0);
      await stop(foreign);
    } finally {
      await other.dispose();
    }
  });
});

describe('committed signals', () => {
  it('are judged as those of the tail are, before and after compaction, beside other events', async () => {
    for (let round = 0; round < 9; round++) {
      await send(journals, [...manySignals(`r${round}-`, 20), ...drafts(`other${round}-`, 30)]);
      await journals.flush();
    }
    await send(journals, manySignals('tail-', 20));
    const heard = await started();
    await idle(heard);
    expect(countBySource(await verdicts(journals)).size).toBe(200);
    await stop(heard);
    await journals.flush();
    await journals.compact('acme');
    const again = await started({ dir: join(lab.dataDir, 'without-position') });
    await idle(again);
    expect([again.judged.length, again.repeated.length]).toEqual([0, 200]);
    const all = await readInMemory(journals, 'acme');
    expect(all.filter(({ entity_type }) => entity_type === VERDICT_TYPE)).toHaveLength(200);
  });

  it('the id of a verdict follows from the source alone, where there is one', () => {
    const of = (source_id: string, event_id: string) => verdictId({ source_id, event_id });
    expect(of('s', 'a')).toBe(of('s', 'b'));
    expect(of('unknown', 'a')).not.toBe(of('unknown', 'b'));
    expect(of('event a', 'x')).not.toBe(of('unknown', 'a'));
    expect(of('s', 'a')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-/);
  });
});
