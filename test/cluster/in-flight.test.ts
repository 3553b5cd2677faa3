import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InFlight } from '../../src/cluster/partitions/in-flight.ts';

const WORKSPACES = ['a', 'b', 'c'];

type Step =
  /** `events` 0: an entry that is passed over. `repeats`: it holds nothing new, its last event is one before. */
  | { do: 'add'; workspace: number; parts: number; events: number; repeats: boolean; waits: boolean }
  | { do: 'commit'; workspace: number; upTo: number }
  | { do: 'settle' }
  | { do: 'acknowledge' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    workspace: fc.nat(WORKSPACES.length - 1),
    parts: fc.integer({ min: 1, max: 3 }),
    events: fc.nat(3),
    repeats: fc.boolean(),
    waits: fc.boolean(),
  }),
  fc.record({
    do: fc.constant('commit' as const),
    workspace: fc.nat(WORKSPACES.length - 1),
    upTo: fc.integer({ min: 1, max: 100 }),
  }),
  fc.constant({ do: 'settle' as const }),
  fc.constant({ do: 'acknowledge' as const }),
);

type Known = { ids: string[]; workspace: string; lastSeq: number; waits: boolean; isDone: boolean };

/** The same, said as plainly as can be: nothing is ever taken out. */
class Model {
  readonly entries: Known[] = [];
  readonly staged = new Map(WORKSPACES.map((name) => [name, -1]));
  readonly committed = new Map(WORKSPACES.map((name) => [name, -1]));
  readonly known = new Set<string>();
  prefix = 0;

  settle(): { entries: string[][]; replies: string[]; throughId: string | undefined } {
    const now = this.entries.filter((entry, index) => {
      if (entry.isDone) return false;
      entry.isDone =
        entry.lastSeq === -1
          ? this.entries.slice(0, index).every(({ isDone }) => isDone)
          : (this.committed.get(entry.workspace) ?? -1) >= entry.lastSeq;
      return entry.isDone;
    });
    const first = this.entries.findIndex(({ isDone }) => !isDone);
    const prefix = first === -1 ? this.entries.length : first;
    const throughId = prefix > this.prefix ? this.entries[prefix - 1]?.ids.at(-1) : undefined;
    this.prefix = prefix;
    return {
      entries: now.map(({ ids }) => ids),
      replies: now.filter(({ waits }) => waits).map(({ ids }) => ids[0] as string),
      throughId,
    };
  }
}

class Run {
  readonly flying = new InFlight();
  readonly model = new Model();
  readonly unacknowledged: (readonly string[])[] = [];
  #nextId = 1;
  #told = 0;

  step(step: Step): void {
    if (step.do === 'add') this.#add(step);
    else if (step.do === 'commit') this.#commit(step);
    else if (step.do === 'settle') this.settle();
    else
      for (const ids of this.unacknowledged.splice(0)) {
        this.flying.acknowledged(ids);
        for (const id of ids) this.model.known.delete(id);
      }
    for (let id = 1; id < this.#nextId; id++) expect(this.flying.has(`${id}-0`)).toBe(this.model.known.has(`${id}-0`));
    const isIdle = this.model.entries.every(({ isDone }) => isDone);
    expect(this.flying.size === 0).toBe(isIdle);
  }

  #add({ workspace: index, parts, events, repeats, waits }: Step & { do: 'add' }): void {
    const name = WORKSPACES[index] as string;
    const before = this.model.staged.get(name) ?? -1;
    const lastSeq = events === 0 ? -1 : repeats && before >= 0 ? Math.max(0, before - events) : before + events;
    this.model.staged.set(name, Math.max(before, lastSeq));
    const ids = Array.from({ length: parts }, () => `${this.#nextId++}-0`);
    for (const id of ids) this.model.known.add(id);
    this.model.entries.push({ ids, workspace: name, lastSeq, waits, isDone: false });
    const reply = { webId: 'web', requestId: ids[0] as string, text: '' };
    const told = () => {
      this.#told += 1;
      return reply;
    };
    this.flying.add({ ids, workspace: name, lastSeq, told: waits ? told : undefined });
  }

  #commit({ workspace: index, upTo }: Step & { do: 'commit' }): void {
    const name = WORKSPACES[index] as string;
    const { staged, committed } = this.model;
    const from = committed.get(name) ?? -1;
    const open = (staged.get(name) ?? -1) - from;
    committed.set(name, from + Math.min(open, Math.ceil((open * upTo) / 100)));
  }

  settle(): void {
    const expected = this.model.settle();
    const toldBefore = this.#told;
    const { entries, replies, throughId } = this.flying.settle((name) => this.model.committed.get(name) ?? -1);
    expect({ entries, throughId, replies: replies.map(({ requestId }) => requestId) }).toEqual(expected);
    expect(this.#told - toldBefore).toBe(expected.replies.length);
    this.unacknowledged.push(...entries);
  }
}

describe('entries in flight', () => {
  it('are done once each, when their events are committed, and the position moves over what is done without a gap', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const run = new Run();
        for (const one of steps) run.step(one);
        for (const [workspace] of WORKSPACES.entries()) run.step({ do: 'commit', workspace, upTo: 100 });
        run.step({ do: 'settle' });
        expect(run.model.entries.every(({ isDone }) => isDone)).toBe(true);
        expect(run.model.prefix).toBe(run.model.entries.length);
        run.step({ do: 'settle' });
        run.step({ do: 'acknowledge' });
        expect(run.model.known.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('hold the position back while one of them waits, and are acknowledged all the same', () => {
    const flying = new InFlight();
    flying.add({ ids: ['1-0'], workspace: 'slow', lastSeq: 0, told: undefined });
    flying.add({ ids: ['2-0', '2-1'], workspace: 'fast', lastSeq: 0, told: undefined });
    flying.add({ ids: ['3-0'], workspace: '', lastSeq: -1, told: undefined });
    expect(flying.settle((name) => (name === 'fast' ? 0 : -1))).toEqual({
      entries: [['2-0', '2-1']],
      replies: [],
      throughId: undefined,
    });
    expect(flying.settle(() => 0)).toEqual({ entries: [['1-0'], ['3-0']], replies: [], throughId: '3-0' });
  });
});
