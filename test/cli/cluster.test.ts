import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hasRedisServer } from '../../scripts/redis-server.mjs';
import {
  AXIOMS,
  COMPLIANCE_GROUP,
  DEAD_LETTERS,
  ensureGroup,
  journalStream,
  readNew,
  type Redis,
} from '../../src/cluster/redis/index.ts';
import { DeadLetters, type NewDeadLetter, StreamAdmin } from '../../src/cluster/upkeep/index.ts';
import { OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';
import { RedisLab } from '../support/redis-lab.ts';
import { RedisServer } from '../support/redis-server.ts';
import { run } from './run.ts';

// reason: there is no Redis here; on a build machine that fails
describe.skipIf(!hasRedisServer())('the command line of a cluster', () => {
  const lab = new RedisLab();
  let server: RedisServer;
  let redis: Redis;
  let letters: DeadLetters;
  let service: TestService;

  beforeAll(async () => {
    server = await RedisServer.start();
    redis = await lab.ready(server.url);
    letters = new DeadLetters(redis);
    service = await startService();
    service.services.cluster = new StreamAdmin({ redis, partitions: 1, deadLetters: letters, pressure: () => 1 });
  });
  beforeEach(() => redis.flushall());
  afterAll(async () => {
    await service.stop();
    lab.dispose();
    await server.remove();
  });

  const cli = (...args: string[]) =>
    run(args, { cwd: service.dir, env: { INDELIBLE_URL: service.url, INDELIBLE_KEY: OPERATOR_KEY } });
  async function text(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await cli(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout;
  }
  const json = async (...args: string[]) => JSON.parse(await text(...args, '--json'));

  const add = (more: Partial<NewDeadLetter> = {}) =>
    letters.add({
      stream: AXIOMS,
      id: '17-3',
      workspace: 'acme',
      kind: 'poison',
      reason: 'delivered 6 times',
      deliveries: 6,
      fields: new Map([
        ['body', Buffer.from('line\nü')],
        ['raw', Buffer.from([255, 0])],
      ]),
      ...more,
    });

  test('streams shows pressure, dead letters and every group', async () => {
    await add();
    await redis.xadd(AXIOMS, '1-0', 'body', 'x');
    await redis.xadd(AXIOMS, '2-0', 'body', 'x');
    await ensureGroup(redis, AXIOMS, COMPLIANCE_GROUP);
    await readNew(redis, { streams: [AXIOMS], group: COMPLIANCE_GROUP, consumer: 'one', count: 1 });
    expect((await text('streams')).split('\n')).toEqual([
      'pressure      1: smaller reads',
      'dead letters  1',
      '',
      'stream       entries  group       consumers  pending  lag  last delivered',
      'axioms-high        0  -',
      'axioms             2  compliance          1        1    1  1-0',
      'journal-0          0  -',
      '',
    ]);
    expect(await json('streams')).toMatchObject({ pressure_level: 1, dead_letters: 1, streams: { length: 3 } });
  });

  test('replay makes a group, or moves it, and says how much it gets', async () => {
    await redis.xadd(AXIOMS, '1-0', 'body', 'x');
    await redis.xadd(AXIOMS, '2-0', 'body', 'x');
    expect(await text('replay', '--group', 'copy', '--from', '0')).toBe(
      'made copy: it is delivered 2 entries of axioms\n',
    );
    expect(await text('replay', '--group', 'copy', '--from', '2-0')).toBe(
      'moved copy: it is delivered 1 entry of axioms\n',
    );
    expect(await json('replay', '--group', 'copy', '--from', '$', '--stream', 'journal-0')).toEqual({
      entries: 0,
      created: true,
    });
    const refused = await cli('replay', '--group', COMPLIANCE_GROUP, '--from', '$');
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('is moved back only') });
    const unknown = await cli('replay', '--group', 'copy', '--from', '0', '--stream', 'journal-1');
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('journal-0 to journal-0') });
    const bad = await cli('replay', '--group', 'copy', '--from', 'yesterday');
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining('/from: is no position') });
  });

  test('dead-letters lists, shows and discards', async () => {
    expect(await text('dead-letters')).toBe('there are no dead letters\n');
    const first = await add();
    const second = await add({ workspace: 'other', stream: journalStream(0), kind: 'refused' });
    const list = await text('dead-letters');
    expect(list.split('\n').slice(1, -1)).toEqual([
      expect.stringMatching(new RegExp(`^${first} .* axioms +acme +poison +6 +delivered 6 times$`)),
      expect.stringMatching(new RegExp(`^${second} .* journal-0 +other +refused +6 +delivered 6 times$`)),
    ]);
    expect((await json('dead-letters', 'list')).map(({ id }: { id: string }) => id)).toEqual([first, second]);
    expect(await json('dead-letters', 'list', '--limit', '1')).toMatchObject([{ id: first }]);
    expect(await json('dead-letters', 'list', '--workspace', 'other')).toMatchObject([{ id: second }]);
    const shown = await text('dead-letters', 'show', first);
    expect(shown).toContain('stream      axioms, entry 17-3\n');
    expect(shown).toMatch(/\n\nbody {2}line\\nü\nraw {3}base64 \/wA=\n$/);
    expect(await json('dead-letters', 'show', first)).toMatchObject({ fields: { raw: { base64: '/wA=' } } });
    expect(await text('dead-letters', 'discard', first, '--reason', 'a test')).toBe(`discarded ${first}\n`);
    expect(await cli('dead-letters', 'show', first)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no dead letter'),
    });
    expect(await letters.depth()).toBe(1);
  });

  test('dead-letters replay takes one, or all of many pages', async () => {
    const first = await add();
    expect(await text('dead-letters', 'replay', first)).toMatch(
      new RegExp(`^replayed ${first}: it is \\d+-\\d+ of axioms\n$`),
    );
    expect(await redis.xlen(AXIOMS)).toBe(1);
    for (let at = 0; at < 120; at++) await add({ fields: new Map([['at', Buffer.from(String(at))]]) });
    expect(await text('dead-letters', 'replay', '--all')).toBe('replayed 120 dead letters\n');
    const order = (await redis.xrange(AXIOMS, '-', '+')).slice(1).map(([, fields]) => Number(fields[1]));
    expect(order).toEqual(Array.from({ length: 120 }, (_, at) => at));
    expect(await redis.xlen(DEAD_LETTERS)).toBe(0);
    expect(await json('dead-letters', 'replay', '--all')).toEqual({ replayed: 0 });
  });
});
