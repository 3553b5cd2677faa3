import { afterEach, beforeEach, expect, it } from 'vitest';
import { event, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
let opened: number;
let released: number;

/** Counts from here on. A second release of one snapshot would throw by itself. */
beforeEach(async () => {
  service = await startService();
  const { journals } = service.services;
  const open = journals.snapshot.bind(journals);
  opened = 0;
  released = 0;
  journals.snapshot = async (workspace) => {
    const snapshot = await open(workspace);
    const release = snapshot.release.bind(snapshot);
    opened += 1;
    snapshot.release = () => {
      released += 1;
      release();
    };
    return snapshot;
  };
  const events = Array.from({ length: 20 }, (_, i) =>
    event({ event_id: `e${i}`, entity_id: `x${i % 3}`, new_value: i }),
  );
  await service.post(events);
  await service.call('/journal/flush', { method: 'POST' });
  await service.post([event({ entity_id: 'x1' })]);
});
afterEach(() => service.stop());

const ASKED = [
  '/journal/entity/x1',
  '/journal/entity/x1?limit=2&order=desc',
  '/journal/entity/nobody',
  '/journal/entity/x1?cursor=wrong',
  '/journal/entity/x1/state',
  '/journal/entity/x1/state?at=3',
  '/journal/recent',
  '/journal/recent?limit=3&field=none',
  '/journal/events/e3',
  '/journal/events/nothing',
  '/journal/export?format=ndjson',
  '/journal/export?format=parquet',
  '/journal/verify',
  '/journal/stats',
];

it('lets go of every snapshot once, whatever the answer', async () => {
  for (const path of ASKED) await (await service.call(path)).arrayBuffer();
  for (const sql of ['SELECT count(*) FROM journal', 'SELECT nothing FROM journal', 'DROP TABLE journal']) {
    const body = JSON.stringify({ sql });
    const headers = { 'Content-Type': 'application/json' };
    await (await service.call('/journal/query', { method: 'POST', headers, body })).arrayBuffer();
  }
  expect(opened).toBeGreaterThanOrEqual(ASKED.length - 2);
  expect(released).toBe(opened);
});

it('lets go where the reader goes away', async () => {
  const leave = async (path: string) => {
    const abort = new AbortController();
    const answer = await service.call(path, { signal: abort.signal });
    await answer.body?.getReader().read();
    abort.abort();
  };
  await leave('/journal/tail?from_start=true');
  await leave('/journal/export');
  expect(opened).toBeGreaterThan(0);
  // The server learns of it in its own time; a snapshot that leaks is never let go of.
  await expect.poll(() => opened - released, { timeout: 20_000 }).toBe(0);
});
