import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DirectoryStore, type Journals, SYSTEM_WORKSPACE } from '../../journal/index.ts';
import { AiKeys } from '../../src/ai/index.ts';
import { Keys, loadSecret } from '../../src/keys.ts';
import { Retention } from '../../src/retention.ts';
import { systemEvents } from '../../src/system-journal.ts';
import { COMMITTED, drafts, errorOf, Lab } from '../support/journal-lab.ts';

let lab: Lab;
let journals: Journals;
let failures: unknown[];
beforeEach(async () => {
  lab = new Lab();
  journals = await lab.open();
  failures = [];
});
afterEach(() => lab.dispose());

const OLGA = { keyId: 'k', name: 'olga', role: 'operator', workspace: null } as const;
const SECRET = Buffer.alloc(32, 7);

/** The same journal as another process has it: what it records here waits for `release`, and is still unknown to others. */
class Gated {
  readonly journals: Journals;
  #waiting: (() => void)[] = [];
  isOpen = true;

  constructor() {
    this.journals = Object.create(journals) as Journals;
    const bound = <K extends keyof Journals>(name: K) => {
      const value = journals[name];
      Object.defineProperty(this.journals, name, {
        value: typeof value === 'function' ? value.bind(journals) : value,
        writable: true,
      });
    };
    for (const name of ['engine', 'snapshot', 'reached', 'has', 'onCommitted', 'storage', 'retention'] as const)
      bound(name);
    this.journals.append = async (...args) => {
      if (!this.isOpen) await new Promise<void>((go) => this.#waiting.push(go));
      return journals.append(...args);
    };
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  release(): void {
    this.isOpen = true;
    for (const go of this.#waiting.splice(0)) go();
  }
}

const keysOn = (on: Journals) =>
  Keys.open({ journals: on, secret: SECRET, random: lab.random, onFollowFailed: (error) => failures.push(error) });

/** Two changes of two processes, both decided before either is recorded; recorded in the order of the list. */
async function atOnce<T>(
  gates: readonly Gated[],
  changes: readonly (() => Promise<T>)[],
): Promise<PromiseSettledResult<T>[]> {
  for (const gate of gates) gate.isOpen = false;
  const done = Promise.allSettled(changes.map((change) => change()));
  await vi.waitFor(() => expect(gates.map(({ waiting }) => waiting)).toEqual(gates.map(() => 1)));
  for (const gate of gates) {
    gate.release();
    const before = journals.durableSeq(SYSTEM_WORKSPACE);
    await vi.waitFor(() => expect(journals.durableSeq(SYSTEM_WORKSPACE)).toBeGreaterThan(before));
  }
  return done;
}

describe('keys and workspaces in two processes', () => {
  let gates: [Gated, Gated];
  let a: Keys;
  let b: Keys;
  beforeEach(async () => {
    gates = [new Gated(), new Gated()];
    [a, b] = [await keysOn(gates[0].journals), await keysOn(gates[1].journals)];
  });
  afterEach(() => {
    a.close();
    b.close();
  });

  /** Both have the table that a third process folds from the beginning. */
  async function expectSame(): Promise<void> {
    await journals.flush();
    const fresh = await keysOn(journals);
    for (const keys of [a, b]) {
      await vi.waitFor(() => {
        expect(keys.keys()).toEqual(fresh.keys());
        expect(keys.workspaces()).toEqual(fresh.workspaces());
      });
    }
    fresh.close();
  }

  it('a change of one is decided on what the other recorded', async () => {
    await a.createWorkspace('acme', OLGA);
    const { record } = await b.createKey({ workspace: 'acme', role: 'writer', name: 'w' }, OLGA);
    expect(await a.revokeKey(record.id, OLGA)).toMatchObject({ id: record.id, revoked_at: expect.any(String) });
    await b.closeWorkspace('acme', OLGA);
    const late = a.createKey({ workspace: 'acme', role: 'reader', name: 'r' }, OLGA);
    expect(await errorOf(late)).toMatchObject({ kind: 'conflict' });
    const { events } = await systemEvents(journals, ['key', 'workspace']);
    expect(events.map(({ entity_type, action }) => `${entity_type} ${action}`)).toEqual([
      'workspace insert',
      'key insert',
      'key delete',
      'workspace delete',
    ]);
    await expectSame();
  });

  it('a key that one made works in the other once that follows, and stops when it is revoked', async () => {
    await a.createWorkspace('acme', OLGA);
    const { keyText, record } = await a.createKey({ workspace: 'acme', role: 'writer', name: 'w' }, OLGA);
    await journals.flush();
    await vi.waitFor(() => expect(b.authenticate(keyText)).toMatchObject({ keyId: record.id, role: 'writer' }));
    // From here on it is one that passed, which is not hashed again.
    expect(b.authenticate(keyText)).toBeDefined();
    await a.revokeKey(record.id, OLGA);
    expect(a.authenticate(keyText)).toBeUndefined();
    await journals.flush();
    await vi.waitFor(() => expect(b.authenticate(keyText)).toBeUndefined());
  });

  it('the keys of a workspace that one closed stop working in the other', async () => {
    await a.createWorkspace('acme', OLGA);
    const { keyText } = await b.createKey({ workspace: 'acme', role: 'writer', name: 'w' }, OLGA);
    expect(b.authenticate(keyText)).toBeDefined();
    await a.closeWorkspace('acme', OLGA);
    expect(a.authenticate(keyText)).toBeUndefined();
    await journals.flush();
    await vi.waitFor(() => expect(b.authenticate(keyText)).toBeUndefined());
    await expectSame();
  });

  it('the same workspace made by both at once is the one of the first', async () => {
    const make = (keys: Keys, name: string) => () => keys.createWorkspace('acme', { ...OLGA, name });
    const made = await atOnce(gates, [make(a, 'first'), make(b, 'second')]);
    const [first, second] = made.map((each) => (each.status === 'fulfilled' ? each.value : undefined));
    expect(first).toMatchObject({ id: 'acme', created_by: 'first', closed_at: null });
    expect(second).toEqual(first);
    expect((await systemEvents(journals, ['workspace'])).events).toHaveLength(2);
    await expectSame();
  });

  it.each([true, false])(
    'a key made while the other closes its workspace never works (closed first: %s)',
    async (isClosedFirst) => {
      await a.createWorkspace('acme', OLGA);
      const make = () => b.createKey({ workspace: 'acme', role: 'writer', name: 'w' }, OLGA);
      const close = () => a.closeWorkspace('acme', OLGA);
      const order = isClosedFirst ? ([gates[0], gates[1]] as const) : ([gates[1], gates[0]] as const);
      const [made] = await atOnce<unknown>(order, [make, close]);
      if (isClosedFirst) expect(made).toMatchObject({ status: 'rejected', reason: { kind: 'conflict' } });
      else expect(made?.status).toBe('fulfilled');
      await expectSame();
      expect(b.keys()).toMatchObject([{ workspace: 'acme', revoked_at: expect.any(String) }]);
    },
  );

  it('what cannot be read when it is committed is read later, and told of', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      gates[1].journals.snapshot = () => Promise.reject(new Error('the store is away'));
      await a.createWorkspace('acme', OLGA);
      await journals.flush();
      await vi.waitFor(() => expect(failures).toHaveLength(1));
      expect(b.workspaces()).toEqual([]);
      gates[1].journals.snapshot = (workspace) => journals.snapshot(workspace);
      await vi.runOnlyPendingTimersAsync();
      await vi.waitFor(() => expect(b.workspaces()).toMatchObject([{ id: 'acme' }]));
    } finally {
      vi.useRealTimers();
    }
  });
});

it('the same hold made in two processes at once is the one of the first, for both', async () => {
  const gates = [new Gated(), new Gated()] as const;
  const [a, b] = [
    await Retention.open(gates[0].journals, async () => {}),
    await Retention.open(gates[1].journals, async () => {}),
  ];
  const add = (retention: Retention, reason: string) => () => retention.addHold('acme', { name: 'h', reason }, OLGA);
  await atOnce(gates, [add(a, 'first'), add(b, 'second')]);
  expect(a.holds('acme')).toMatchObject([{ reason: 'first', released_at: null }]);
  expect(b.holds('acme')).toEqual(a.holds('acme'));
  await b.releaseHold('acme', 'h', OLGA);
  expect(await errorOf(a.releaseHold('acme', 'none', OLGA))).toMatchObject({ kind: 'not-found' });
  expect(a.holds('acme')).toEqual(b.holds('acme'));
  a.close();
  b.close();
});

it('a removal is decided on a hold of another process, also where snapshots are of a moment ago', async () => {
  await journals.append('acme', drafts('a', 20), COMMITTED);
  const follower = new Gated().journals;
  // As of journals that others write: what it reads stays as it was until it is asked to look again.
  let throughSeq = -1;
  follower.reached = async (workspace, after) => {
    await journals.reached(workspace, after);
    throughSeq = journals.durableSeq(SYSTEM_WORKSPACE);
  };
  follower.snapshot = async (workspace) => {
    const snapshot = await journals.snapshot(workspace);
    if (workspace !== SYSTEM_WORKSPACE) return snapshot;
    const whole = snapshot.tailEvents.bind(snapshot);
    const tailEvents = (fromSeq?: number) => whole(fromSeq, throughSeq);
    return Object.assign(snapshot, { durableSeq: throughSeq, tailEvents });
  };
  const [a, b] = [await Retention.open(journals, async () => {}), await Retention.open(follower, async () => {})];
  const remove = () => b.remove('acme', { cut: { seq: 5 }, reason: 'ten years', isDryRun: true }, OLGA);
  await b.addHold('other', { name: 'h', reason: 'x' }, OLGA);
  expect(await remove()).toMatchObject({ removed: 5 });
  await a.addHold('acme', { name: 'h', reason: 'x' }, OLGA);
  expect(b.holds('acme')).toEqual([]);
  expect(await errorOf(remove())).toMatchObject({ kind: 'conflict' });
  a.close();
  b.close();
});

it('an AI key set in two processes at once is the later one, for both', async () => {
  const gates = [new Gated(), new Gated()] as const;
  const store = new DirectoryStore(lab.storeDir);
  const open = (on: Journals) =>
    AiKeys.open({ journals: on, store, secret: SECRET, clock: lab.clock, random: lab.random });
  const [a, b] = [await open(gates[0].journals), await open(gates[1].journals)];
  const set = (keys: AiKeys, key: string) => () => keys.set('acme', { provider: 'gemini', key }, OLGA);
  await atOnce(gates, [set(a, 'first-key'), set(b, 'second-key')]);
  await journals.flush();
  for (const keys of [a, b]) {
    await vi.waitFor(async () => expect(await keys.get('acme')).toBe('second-key'));
    keys.close();
  }
});

it('only what came after a position is read, from segments and from the tail', async () => {
  const keys = await keysOn(journals);
  await keys.createWorkspace('one', OLGA);
  await journals.append(SYSTEM_WORKSPACE, drafts('x', 3), COMMITTED);
  await keys.createWorkspace('two', OLGA);
  const all = await systemEvents(journals, ['workspace']);
  expect(all).toMatchObject({ events: [{ entity_id: 'one' }, { entity_id: 'two' }], throughSeq: 4 });
  expect(await systemEvents(journals, ['workspace'], 0)).toMatchObject({
    events: [{ entity_id: 'two' }],
    throughSeq: 4,
  });
  await journals.flush();
  expect(await systemEvents(journals, ['workspace'], 0)).toMatchObject({
    events: [{ entity_id: 'two' }],
    throughSeq: 4,
  });
  expect(await systemEvents(journals, ['workspace'], 4)).toEqual({ events: [], throughSeq: 4 });
  expect(await systemEvents(journals, ['hold'])).toEqual({ events: [], throughSeq: 4 });
  keys.close();
});

it('a configured secret takes the place of the file, which is not made', async () => {
  const secret = await loadSecret(lab.dir, lab.random, 'ab'.repeat(32));
  expect(secret).toEqual(Buffer.alloc(32, 0xab));
  const own = await loadSecret(lab.dir, lab.random);
  expect(own).not.toEqual(secret);
  expect(await loadSecret(lab.dir, lab.random, 'ab'.repeat(32))).toEqual(secret);
  for (const wrong of ['', 'ab', 'zz'.repeat(32), `${'ab'.repeat(32)}\n`]) {
    await expect(loadSecret(lab.dir, lab.random, wrong)).rejects.toThrow('64 hex');
  }
});
