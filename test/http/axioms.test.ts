import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { GEMINI_KEY, GeminiServer } from '../support/gemini-server.ts';
import { type CallInit, event, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
let workspace: string;
let count = 0;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());
afterEach(() => {
  workspace = '';
});

/** A workspace of its own for each test. */
function fresh(): string {
  count += 1;
  workspace = `w${count}`;
  return workspace;
}

const signal = (source_id: string | undefined, more: Record<string, unknown> = {}) => ({
  source_id,
  domain: 'water',
  anomaly_score: 0.2,
  ...more,
});
const signals = (prefix: string, length: number, more: Record<string, unknown> = {}) =>
  Array.from({ length }, (_, i) => signal(`${prefix}${i}`, more));
const lines = (rows: readonly unknown[]) => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;

function post(body: unknown, init: CallInit = {}) {
  const headers = { 'Content-Type': 'application/json', ...init.headers };
  return service.call('/axioms', { method: 'POST', body: JSON.stringify(body), workspace, ...init, headers });
}

const ndjson = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  post(undefined, { body, headers: { 'Content-Type': 'application/x-ndjson', ...headers } });

/** Events of the workspace by what they are. */
async function recorded(type = 'indelible.axiom', of = workspace): Promise<string[]> {
  if (!service.services.journals.has(of)) return [];
  const snapshot = await service.services.journals.snapshot(of);
  try {
    return [...snapshot.tailOfType(type, 0)].map(({ entity_id }) => entity_id);
  } finally {
    snapshot.release();
  }
}

const judged = (expected: number, of = workspace) =>
  vi.waitFor(async () => expect(await recorded('indelible.verdict', of)).toHaveLength(expected), 10_000);

describe('POST /axioms', () => {
  test('one: 202, and a verdict follows', async () => {
    fresh();
    const answer = await post(signal('s'));
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ accepted: 1, duplicates: 0, unknown: 0, first_seq: 0, last_seq: 0 });
    await judged(1);
  });

  test('an array; sent again, all are duplicates and nothing is judged again', async () => {
    fresh();
    const batch = signals('s', 500);
    expect(await (await post(batch)).json()).toMatchObject({
      accepted: 500,
      duplicates: 0,
      first_seq: 0,
      last_seq: 499,
    });
    await judged(500);
    expect(await (await post(batch)).json()).toEqual({
      ...{ accepted: 0, duplicates: 500, unknown: 0, first_seq: null, last_seq: null },
    });
    expect(await (await post([signal('new'), ...batch.slice(0, 5)])).json()).toMatchObject({
      accepted: 1,
      duplicates: 5,
    });
    await judged(501);
    expect(await recorded()).toHaveLength(501);
  });

  test('NDJSON, plain and gzipped', async () => {
    fresh();
    expect(await (await ndjson(`\n${lines(signals('a', 20))}\n`)).json()).toMatchObject({ accepted: 20 });
    const packed = await ndjson(gzipSync(lines(signals('b', 30))), { 'Content-Encoding': 'gzip' });
    expect([packed.status, await packed.json()]).toMatchObject([202, { accepted: 30, duplicates: 0 }]);
    await judged(50);
  });

  test('more NDJSON than one append takes; a fault in a later part says how far it came, and sending again finishes', async () => {
    fresh();
    const rows = signals('s', 12_000);
    const broken = rows.map((row, index) => (index === 11_000 ? { ...row, domain: 5 } : row));
    const refused = await ndjson(lines(broken));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      errors: [{ pointer: '/11000/domain', message: 'must be a string, not a number' }],
      progress: { events: 10_000, duplicates: 0, lines: 10_000, first_seq: 0, last_seq: 9_999 },
    });
    expect(await (await ndjson(lines(rows))).json()).toMatchObject({ accepted: 2_000, duplicates: 10_000 });
    await judged(12_000);
  }, 30_000);

  test.each([
    ['JSON', () => post([signal('a'), { ...signal('b'), anomaly_score: 'x' }]), '/1/anomaly_score'],
    ['NDJSON', () => ndjson(lines([signal('a'), signal('b', { more: 1 })])), '/1/more'],
    ['no JSON', () => post(undefined, { body: '{' }), ''],
    ['nothing', () => ndjson(''), ''],
    ['an empty array', () => post([]), ''],
  ])('all or nothing: %s', async (_, send, pointer) => {
    fresh();
    const answer = await send();
    expect(answer.status).toBe(400);
    expect((await answer.json()).errors.map((fault) => fault.pointer)).toEqual([pointer]);
    expect(await recorded()).toEqual([]);
  });

  test('too many at once, another media type, and the reserved type at the other door', async () => {
    fresh();
    expect((await post(signals('s', 10_001))).status).toBe(413);
    expect((await post(undefined, { body: 'a=b', headers: { 'Content-Type': 'text/plain' } })).status).toBe(415);
    const forged = await service.post([event({ entity_type: 'indelible.verdict' })], { workspace });
    expect(forged.status).toBe(400);
  });

  test('without a source_id each is kept, and judged by itself; an Idempotency-Key makes it repeatable', async () => {
    fresh();
    const batch = [signal(undefined), signal(''), signal('unknown'), signal('named')];
    const headers = { 'Idempotency-Key': 'once' };
    expect(await (await post(batch, { headers })).json()).toMatchObject({ accepted: 4, unknown: 3 });
    await judged(4);
    expect(await (await post(batch, { headers })).json()).toMatchObject({ accepted: 0, duplicates: 4, unknown: 3 });
    expect(await (await post(batch)).json()).toMatchObject({ accepted: 3, duplicates: 1, unknown: 3 });
    await judged(7);
    const other = await post([signal(undefined, { metric_value: 1 })], { headers });
    expect(other.status).toBe(409);
    expect(service.logLines.some((line) => line.includes("kept as 'unknown'"))).toBe(true);
  });

  test('an Idempotency-Key is refused for a request that is longer or shorter than its own', async () => {
    fresh();
    const batch = [signal(undefined), signal(undefined, { metric_value: 2 }), signal(undefined, { metric_value: 3 })];
    const headers = { 'Idempotency-Key': 'of-three' };
    expect(await (await post(batch, { headers })).json()).toMatchObject({ accepted: 3 });
    expect((await post(batch.slice(0, 2), { headers })).status).toBe(409);
    expect((await post([...batch, signal(undefined, { metric_value: 4 })], { headers })).status).toBe(409);
    expect(await (await post(batch, { headers })).json()).toMatchObject({ accepted: 0, duplicates: 3 });
    await judged(3);
  });

  test('an Idempotency-Key counts through the parts of a long stream', async () => {
    fresh();
    const rows = Array.from({ length: 10_500 }, (_, index) => signal(undefined, { metric_value: index }));
    const headers = { 'Idempotency-Key': 'long' };
    expect(await (await ndjson(lines(rows), headers)).json()).toMatchObject({ accepted: 10_500, unknown: 10_500 });
    expect(await (await ndjson(lines(rows), headers)).json()).toMatchObject({ accepted: 0, duplicates: 10_500 });
    await judged(10_500);
  }, 30_000);

  test('is for writers; and of a closed workspace for nobody', async () => {
    fresh();
    expect((await post(signal('s'), { key: null })).status).toBe(401);
    for (const role of ['reader', 'auditor'] as const) {
      const refused = await post(signal('s'), { key: await service.key(role, workspace) });
      expect([role, refused.status]).toEqual([role, 403]);
    }
    const key = await service.key('writer', workspace);
    expect((await post(signal('s'), { key })).status).toBe(202);
    await judged(1);
    expect((await service.call(`/workspaces/${workspace}`, { method: 'DELETE' })).status).toBe(200);
    expect((await post(signal('t'))).status).toBe(409);
    expect(await recorded()).toEqual(['s']);
  });

  test('the same signal of another sender is another event, and not judged again', async () => {
    fresh();
    await post(signal('s'));
    await judged(1);
    const key = await service.key('writer', workspace);
    expect(await (await post(signal('s'), { key })).json()).toMatchObject({ accepted: 1, duplicates: 0 });
    await post(signal('last'));
    await judged(2);
    expect(await recorded('indelible.verdict')).toEqual(['s', 'last']);
  });
});

test('it answers while the model hangs, and the service stops all the same', async () => {
  const gemini = await GeminiServer.start();
  gemini.decide = () => ({ do: 'silent' });
  const compliance = { geminiApiKey: GEMINI_KEY, geminiBaseUrl: gemini.url, aiTimeoutMs: 3_600_000 };
  const own = await startService({ compliance });
  try {
    const send = (batch: unknown) =>
      own.call('/axioms', {
        method: 'POST',
        body: JSON.stringify(batch),
        headers: { 'Content-Type': 'application/json' },
      });
    expect((await send(signals('high', 100, { anomaly_score: 0.9 }))).status).toBe(202);
    await gemini.arrived(1);
    expect(await (await send(signals('low', 100))).json()).toMatchObject({ accepted: 100 });
    expect((await send(signals('later', 100, { anomaly_score: 0.9 }))).status).toBe(202);
    await vi.waitFor(async () => {
      const stats = await (await own.call('/journal/stats')).json();
      expect(stats.total_events).toBe(400);
    });
  } finally {
    await own.stop();
    await gemini.stop();
  }
});
