import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { event, startService, type TestService } from '../support/http-service.ts';

const EVENTS = 70;
const VALUE_BYTES = 450_000;

let service: TestService;
beforeAll(async () => {
  service = await startService({ config: { queryMemoryBytes: 512 * 1024 * 1024 } });
});
afterAll(() => service.stop());

test('events of nearly a megabyte verify and are exported, sealed together', async () => {
  for (let index = 0; index < EVENTS; index += 1) {
    await service.post([event({ entity_id: `e${index}`, new_value: randomBytes(VALUE_BYTES).toString('hex') })]);
  }
  // More than DuckDB has memory for at once: it is sealed in pieces.
  expect((await service.call('/journal/flush', { method: 'POST' })).status).toBe(200);
  const stats = await (await service.call('/journal/stats')).json();
  expect(stats).toMatchObject({ committed_seq: EVENTS - 1, buffered_events: 0 });
  expect(stats.persisted_files).toBeGreaterThan(1);
  expect(await (await service.call('/journal/verify')).json()).toMatchObject({ valid: true, events: EVENTS });
  const lines = (await (await service.call('/journal/export?format=ndjson')).text()).split('\n').filter(Boolean);
  expect(lines.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual(lines.map((_, index) => index));
  expect(lines).toHaveLength(EVENTS);
});
