import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AiKeys, type AiKeysOptions } from '../../src/ai/index.ts';
import { DirectoryStore, type Journals, SYSTEM_WORKSPACE } from '../../journal/index.ts';
import { systemEvents } from '../../src/system-journal.ts';
import { FaultyStore, type StoreFault } from '../support/faulty-store.ts';
import { GEMINI_KEY } from '../support/gemini-server.ts';
import { COMMITTED, draft, errorOf, Lab, SeededRandom } from '../support/journal-lab.ts';

let lab: Lab;
let store: FaultyStore;
let journals: Journals;
let heard: string[];
beforeEach(async () => {
  lab = new Lab();
  store = new FaultyStore(new DirectoryStore(lab.storeDir));
  journals = await lab.open({ store });
  heard = [];
});
afterEach(() => lab.dispose());

const OLGA = { keyId: 'k', name: 'olga', role: 'operator', workspace: null } as const;
const SECRET = Buffer.alloc(32, 7);
const PREFIX = '_system/_indelible/ai-keys/';
const WANTED = { provider: 'gemini', key: GEMINI_KEY } as const;

const open = (more: Partial<AiKeysOptions> = {}) =>
  AiKeys.open({
    journals,
    store,
    secret: SECRET,
    clock: lab.clock,
    random: lab.random,
    observer: {
      unusable: (workspace, fault) => heard.push(`${workspace} ${fault}`),
      leftBehind: () => heard.push('left behind'),
    },
    ...more,
  });

/** The journals closed and opened again, as a start does. */
async function restart(more: Partial<AiKeysOptions> = {}): Promise<AiKeys> {
  await lab.close(journals);
  journals = await lab.open({ store });
  return open(more);
}

/** The same more than an hour later: what nobody names is old then. */
function restartLater(): Promise<AiKeys> {
  lab.clock.ms = Date.now() + 3_600_001;
  return restart();
}

async function objects(): Promise<string[]> {
  const found = [];
  for await (const { key } of new DirectoryStore(lab.storeDir).list(PREFIX)) found.push(key);
  return found;
}

function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile());
}

/** Fails every call of this kind on a key's object. */
const failOn = (call: string, fault: StoreFault) => {
  store.decide = (made, _, key) => (made === call && key.startsWith(PREFIX) ? fault : undefined);
};

describe('a key of a workspace', () => {
  test('is kept, told of without the key, replaced and removed, and so it is after a restart', async () => {
    const keys = await open();
    expect([keys.current('acme'), await keys.get('acme'), await keys.status('acme')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const first = await keys.set('acme', WANTED, OLGA);
    expect(first).toEqual({
      provider: 'gemini',
      model: null,
      embedding_model: null,
      set_at: expect.stringMatching(/^2026-.*Z$/),
      set_by: 'olga',
      usable: true,
    });
    expect(await keys.status('acme')).toEqual(first);
    expect(await keys.get('beta')).toBeUndefined();
    const before = await objects();
    await keys.set('acme', { ...WANTED, key: 'another-key-1', model: 'gemini-2.5-pro', embeddingModel: 'e-2' }, OLGA);
    expect(await keys.get('acme')).toBe('another-key-1');
    const [now, ...others] = await objects();
    expect([now, others]).toEqual([`${PREFIX}${keys.current('acme')?.key_id}`, []]);
    expect(before).not.toContain(now);

    const again = await restart();
    expect(await again.get('acme')).toBe('another-key-1');
    expect(await again.status('acme')).toMatchObject({ model: 'gemini-2.5-pro', embedding_model: 'e-2', usable: true });
    await again.remove('acme', OLGA);
    expect([await again.get('acme'), await again.status('acme'), await objects()]).toEqual([undefined, undefined, []]);
    expect((await restart()).current('acme')).toBeUndefined();
    expect(await errorOf(again.remove('acme', OLGA))).toMatchObject({ kind: 'not-found' });
    expect(heard).toEqual([]);
  });

  test('is an event of the service with everything but the key', async () => {
    const keys = await open();
    await keys.set('acme', { ...WANTED, model: 'gemini-2.5-pro' }, OLGA);
    await keys.remove('acme', OLGA);
    const { events } = await systemEvents(journals, ['ai-key']);
    expect(events).toMatchObject([
      { entity_type: 'ai-key', entity_id: 'acme', action: 'insert', actor: 'olga' },
      { entity_type: 'ai-key', entity_id: 'acme', action: 'delete', new_value: null },
    ]);
    expect(JSON.parse(events[0]?.new_value ?? '')).toEqual({
      key_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      provider: 'gemini',
      model: 'gemini-2.5-pro',
      embedding_model: null,
    });
  });

  test('stands nowhere at rest: not in the data, not in the store, in no encoding', async () => {
    const keys = await open();
    await keys.set('acme', WANTED, OLGA);
    await journals.append(SYSTEM_WORKSPACE, [draft()], COMMITTED);
    const files = filesIn(lab.dir);
    const encodings = [
      GEMINI_KEY,
      Buffer.from(GEMINI_KEY).toString('base64').slice(0, 40),
      Buffer.from(GEMINI_KEY).toString('hex'),
    ];
    expect(files.some((path) => path.includes('/ai-keys/'))).toBe(true);
    for (const path of files) {
      for (const text of encodings) expect(readFileSync(path).includes(text), path).toBe(false);
    }
    // The search finds what is there.
    const [object = ''] = await objects();
    expect(files.filter((path) => readFileSync(path).includes(object.slice(PREFIX.length))).length).toBeGreaterThan(0);
  });

  test('is encrypted anew each time', async () => {
    const keys = await open();
    const seen = new Set<string>();
    for (let time = 0; time < 3; time++) {
      await keys.set('acme', WANTED, OLGA);
      const [object = ''] = await objects();
      seen.add(
        Buffer.from((await store.get(object)) ?? [])
          .toString('hex')
          .slice(2, 26),
      );
    }
    expect(seen.size).toBe(3);
  });

  test.each([
    ['', '/key'],
    ['short', '/key'],
    ['two words of a key', '/key'],
    ['a-key-with\nan-end-of-line', '/key'],
    ['ein-schlüssel', '/key'],
    ['x'.repeat(513), '/key'],
  ])('%j is refused, and not repeated', async (key, pointer) => {
    const error = await errorOf((await open()).set('acme', { ...WANTED, key }, OLGA));
    expect(error).toMatchObject({ kind: 'invalid', errors: [{ pointer }] });
    if (key !== '') expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(key);
    expect(await objects()).toEqual([]);
  });

  test.each(['../files', 'models/x', 'a:b', 'A', '', 'x'.repeat(65), 'a?key=', '.'])(
    '%j is no model',
    async (model) => {
      const keys = await open();
      expect(await errorOf(keys.set('acme', { ...WANTED, model }, OLGA))).toMatchObject({
        errors: [{ pointer: '/model' }],
      });
      const embedding = keys.set('acme', { ...WANTED, embeddingModel: model }, OLGA);
      expect(await errorOf(embedding)).toMatchObject({ errors: [{ pointer: '/embedding_model' }] });
    },
  );

  test('set at the same time twice is one of them, whole', async () => {
    const keys = await open();
    await Promise.all(['first-key', 'second-key'].map((key) => keys.set('acme', { ...WANTED, key }, OLGA)));
    expect(await keys.get('acme')).toBe('second-key');
    expect(await objects()).toHaveLength(1);
  });
});

describe('a key that is not usable', () => {
  const objectOf = (keys: AiKeys, workspace = 'acme') => `${PREFIX}${keys.current(workspace)?.key_id}`;

  test('because its object is gone', async () => {
    const keys = await open();
    await keys.set('acme', WANTED, OLGA);
    await store.delete(objectOf(keys));
    const again = await restart();
    expect(await again.get('acme')).toBeUndefined();
    expect(await again.status('acme')).toMatchObject({ provider: 'gemini', usable: false });
    expect(heard).toEqual(['acme missing', 'acme missing']);
    expect(await again.set('acme', WANTED, OLGA)).toMatchObject({ usable: true });
  });

  test('because the server has another secret', async () => {
    await (await open()).set('acme', WANTED, OLGA);
    const again = await restart({ secret: Buffer.alloc(32, 8) });
    expect(await again.status('acme')).toMatchObject({ usable: false });
    expect(heard).toEqual(['acme undecryptable']);
  });

  test('because a byte of it changed, or it was cut', async () => {
    const keys = await open();
    await keys.set('acme', WANTED, OLGA);
    const bytes = (await store.get(objectOf(keys))) as Uint8Array;
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      await store.put(objectOf(keys), changed);
      expect(await keys.get('acme'), `byte ${at}`).toBeUndefined();
      await store.put(objectOf(keys), bytes.subarray(0, at));
      expect(await keys.get('acme'), `cut at ${at}`).toBeUndefined();
    }
    await store.put(objectOf(keys), bytes);
    expect(await keys.get('acme')).toBe(GEMINI_KEY);
  });

  test('because it is the object of another workspace', async () => {
    const keys = await open();
    await keys.set('acme', WANTED, OLGA);
    await keys.set('beta', { ...WANTED, key: 'the-key-of-beta' }, OLGA);
    await store.put(objectOf(keys, 'acme'), (await store.get(objectOf(keys, 'beta'))) as Uint8Array);
    expect([await keys.get('acme'), await keys.get('beta')]).toEqual([undefined, 'the-key-of-beta']);
    expect(heard).toEqual(['acme undecryptable']);
  });
});

describe('what is cut short', () => {
  test.each(['not-applied', 'applied'] as const)('a set whose object was %s leaves the key before', async (fault) => {
    const keys = await open();
    await keys.set('acme', { ...WANTED, key: 'the-key-before' }, OLGA);
    failOn('putIfAbsent', fault);
    expect(await errorOf(keys.set('acme', WANTED, OLGA))).toMatchObject({ kind: 'unavailable' });
    store.decide = () => undefined;
    expect(await keys.get('acme')).toBe('the-key-before');
    const again = await restartLater();
    expect(await again.get('acme')).toBe('the-key-before');
    expect(await objects()).toHaveLength(1);
  });

  test('a set that ends before its event leaves an object that a later start deletes', async () => {
    const keys = await open();
    const append = journals.append.bind(journals);
    journals.append = () => Promise.reject(new Error('the process ends here'));
    expect(await errorOf(keys.set('acme', WANTED, OLGA))).toMatchObject({ message: 'the process ends here' });
    journals.append = append;
    expect(await objects()).toHaveLength(1);
    // Another process may be about to record it.
    await restart();
    expect(await objects()).toHaveLength(1);
    const again = await restartLater();
    expect([again.current('acme'), await objects()]).toEqual([undefined, []]);
  });

  test.each(['not-applied', 'applied'] as const)(
    'a replaced key whose deletion was %s is deleted by a later start',
    async (fault) => {
      const keys = await open();
      await keys.set('acme', { ...WANTED, key: 'the-key-before' }, OLGA);
      failOn('delete', fault);
      await keys.set('acme', WANTED, OLGA);
      store.decide = () => undefined;
      expect(heard).toEqual(['left behind']);
      expect(await objects()).toHaveLength(fault === 'applied' ? 1 : 2);
      const again = await restartLater();
      expect(await again.get('acme')).toBe(GEMINI_KEY);
      expect(await objects()).toHaveLength(1);
    },
  );

  test.each(['not-applied', 'applied'] as const)(
    'a removal whose deletion was %s is finished by the same again',
    async (fault) => {
      const keys = await open();
      await keys.set('acme', WANTED, OLGA);
      failOn('delete', fault);
      expect(await errorOf(keys.remove('acme', OLGA))).toMatchObject({ kind: 'unavailable' });
      store.decide = () => undefined;
      expect(await keys.status('acme')).toMatchObject({ usable: fault === 'not-applied' });
      const again = await restart();
      await again.remove('acme', OLGA);
      expect([await again.status('acme'), await objects()]).toEqual([undefined, []]);
    },
  );

  test('a removal that ends before its event leaves a key that is not usable, and is finished by the same again', async () => {
    const keys = await open();
    await keys.set('acme', WANTED, OLGA);
    journals.append = () => Promise.reject(new Error('the process ends here'));
    expect(await errorOf(keys.remove('acme', OLGA))).toMatchObject({ message: 'the process ends here' });
    const again = await restart();
    expect(await again.status('acme')).toMatchObject({ usable: false });
    await again.remove('acme', OLGA);
    expect((await restart()).current('acme')).toBeUndefined();
  });

  test('a store that is away does not keep the service from starting, and is no key lost', async () => {
    await (await open()).set('acme', WANTED, OLGA);
    store.decide = (_, __, key) => (key.startsWith(PREFIX) ? 'not-applied' : undefined);
    const again = await restart();
    expect(heard).toEqual(['left behind']);
    expect(await errorOf(again.get('acme'))).toMatchObject({ kind: 'unavailable' });
    expect(await errorOf(again.status('acme'))).toMatchObject({ kind: 'unavailable' });
    store.decide = () => undefined;
    expect(await again.get('acme')).toBe(GEMINI_KEY);
  });

  test('a key that is replaced while it is read is the new one, and not called lost', async () => {
    const keys = await open({ random: new SeededRandom('read') });
    await keys.set('acme', { ...WANTED, key: 'the-key-before' }, OLGA);
    const get = store.get.bind(store);
    store.get = async (key) => {
      store.get = get;
      await keys.set('acme', WANTED, OLGA);
      return get(key);
    };
    expect(await keys.get('acme')).toBe(GEMINI_KEY);
    expect(heard).toEqual([]);
  });
});
