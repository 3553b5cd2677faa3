import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hasRedisServer } from '../../../scripts/redis-server.mjs';
import { AXIOMS, DEAD_LETTERS, type Redis, type StreamEntry } from '../../../src/cluster/redis/index.ts';
import { DeadLetters, type NewDeadLetter } from '../../../src/cluster/upkeep/index.ts';
import { RedisLab } from '../../support/redis-lab.ts';
import { RedisServer } from '../../support/redis-server.ts';

const BYTES = Buffer.from([0, 255, 13, 10, 128, 0]);

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('dead letters', () => {
  const lab = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let letters: DeadLetters;
  let told: unknown[][];

  beforeEach(async () => {
    server = await RedisServer.start();
    redis = await lab.ready(server.url);
    told = [];
    letters = new DeadLetters(redis, {
      added: (letter, id) => told.push(['added', letter.kind, id]),
    });
  });
  afterEach(async () => {
    lab.dispose();
    await server.remove();
  });

  function letter(more: Partial<NewDeadLetter> = {}): NewDeadLetter {
    const fields = new Map([
      ['body', BYTES],
      ['kind', Buffer.from('a name that the letter uses too')],
      ['f:id', Buffer.from('and one with its prefix')],
    ]);
    const base = { stream: AXIOMS, id: '17-3', workspace: 'acme', kind: 'poison' as const, reason: 'because' };
    return { ...base, deliveries: 6, fields, ...more };
  }

  async function entriesOf(stream: string): Promise<StreamEntry[]> {
    const raw = await redis.xrangeBuffer(stream, '-', '+');
    return raw.map(([id, list]) => {
      const fields = new Map<string, Buffer>();
      for (let at = 0; at < list.length; at += 2) fields.set(String(list[at]), list[at + 1] as Buffer);
      return { id: String(id), fields };
    });
  }

  test('keep every byte of every field, and say whence and why', async () => {
    const id = await letters.add(letter());
    const head = { id, stream: AXIOMS, entryId: '17-3', workspace: 'acme', kind: 'poison', reason: 'because' };
    const bytes = BYTES.length + 'a name that the letter uses too'.length + 'and one with its prefix'.length;
    expect(await letters.get(id)).toEqual({ ...head, deliveries: 6, bytes, fields: letter().fields });
    expect(await letters.list({ cursor: undefined, limit: 5 })).toEqual({
      letters: [{ ...head, deliveries: 6, bytes }],
      nextCursor: null,
    });
    expect(await letters.depth()).toBe(1);
    expect(told).toEqual([['added', 'poison', id]]);
    const bare = await letters.add(letter({ workspace: undefined, kind: 'malformed', deliveries: 0 }));
    expect(await letters.get(bare)).toMatchObject({ workspace: undefined, kind: 'malformed', deliveries: 0 });
    const long = await letters.add(letter({ reason: '🧾'.repeat(5_000) }));
    expect((await letters.get(long)).reason).toBe('🧾'.repeat(1_000));
  });

  test('are listed in pages, oldest first', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 25; at++) ids.push(await letters.add(letter({ reason: `no ${at}` })));
    const seen: string[] = [];
    let cursor: string | undefined;
    for (const expected of [12, 12, 1]) {
      const page = await letters.list({ cursor, limit: 12 });
      expect(page.letters).toHaveLength(expected);
      seen.push(...page.letters.map(({ id }) => id));
      expect(page.nextCursor === null).toBe(seen.length === 25);
      cursor = page.nextCursor ?? undefined;
    }
    expect(seen).toEqual(ids);
    expect(await letters.list({ cursor: ids.at(-1), limit: 12 })).toEqual({ letters: [], nextCursor: null });
  });

  test('are replayed as they were, and then gone', async () => {
    const id = await letters.add(letter());
    const { stream, entryId } = await letters.replay(id);
    expect(stream).toBe(AXIOMS);
    expect(await entriesOf(AXIOMS)).toEqual([{ id: entryId, fields: letter().fields }]);
    expect(await letters.depth()).toBe(0);
    await expect(letters.replay(id)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(letters.get(id)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(letters.discard(id)).rejects.toMatchObject({ kind: 'not-found' });
    expect(await entriesOf(AXIOMS)).toHaveLength(1);
  });

  test('are kept where they cannot be replayed', async () => {
    const id = await letters.add(letter());
    await redis.set(AXIOMS, 'no stream');
    await expect(letters.replay(id)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await letters.depth()).toBe(1);
  });

  test('are discarded', async () => {
    const id = await letters.add(letter());
    await letters.discard(id);
    expect(await redis.xlen(DEAD_LETTERS)).toBe(0);
  });
});
