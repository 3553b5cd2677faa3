import { afterAll, beforeAll, expect, test } from 'vitest';
import { GEMINI_KEY, GeminiServer } from '../support/gemini-server.ts';
import { startService, type TestService } from '../support/http-service.ts';
import { allRows, axiom, get, judged, postAxioms } from './compliance-support.ts';

let gemini: GeminiServer;
let service: TestService;
beforeAll(async () => {
  gemini = await GeminiServer.start();
  service = await startService({ compliance: { geminiApiKey: GEMINI_KEY, geminiBaseUrl: gemini.url } });
});
afterAll(async () => {
  await service.stop();
  await gemini.stop();
});

type Certificate = Record<'old' | 'new', { version: number; rows: number; content_hash: string }> & {
  projection: string;
  agreed: boolean;
  by: string;
};

const rebuild = (query = '', init = {}) => service.call(`/compliance/rebuild${query}`, { method: 'POST', ...init });

function signals(name: string, count: number) {
  return Array.from({ length: count }, (_, at) =>
    axiom({ source_id: `${name}/${at}`, anomaly_score: at % 50 === 0 ? 0.9 : 0.1 }),
  );
}

test('while signals come in: both versions agree, nothing is lost, no model is asked, the journal says so', async () => {
  await postAxioms(service, signals('before', 500));
  await judged(service, 500);
  await service.call('/journal/flush', { method: 'POST' });
  await service.services.projections.catchUp('acme');
  const rowsBefore = await allRows(service, '/compliance/events?limit=1000');
  const callsBefore = { ...gemini.counts };
  let isDone = false;
  let sent = 0;
  const sending = (async () => {
    // Cleared without a model: whatever is asked of one now was asked by the rebuild.
    for (; !isDone; sent += 20) {
      await postAxioms(
        service,
        Array.from({ length: 20 }, (_, at) => axiom({ source_id: `during/${sent + at}` })),
      );
    }
  })();
  const response = await rebuild();
  isDone = true;
  await sending;
  expect(response.status).toBe(200);
  const certificate = JSON.parse(await response.text()) as Certificate;
  expect(certificate).toMatchObject({ projection: 'compliance_events', agreed: true, forced: false, by: 'operator' });
  expect(certificate.new.version).toBe(certificate.old.version + 1);
  expect(certificate.new).toEqual({ ...certificate.old, version: certificate.new.version });
  expect(gemini.counts).toEqual(callsBefore);
  await judged(service, 500 + sent);
  const rows = await allRows(service, '/compliance/events?limit=1000');
  expect(rows.slice(-500)).toEqual(rowsBefore);
  const recorded = await get<{ events: { new_value: unknown }[] }>(
    service,
    '/journal/recent?type=indelible.projection',
  );
  expect(recorded.events.map(({ new_value }) => new_value)).toEqual([certificate]);
});

test('another projection is named; a second rebuild of one while it runs is a conflict', async () => {
  const answers = await Promise.all([rebuild('?projection=activity_daily'), rebuild('?projection=activity_daily')]);
  const statuses = answers.map(({ status }) => status).sort();
  expect(statuses).toEqual([200, 409]);
  const refused = answers.find(({ status }) => status === 409);
  expect(await refused?.json()).toMatchObject({ detail: 'a rebuild of activity_daily is under way' });
  expect((await rebuild('?projection=activity_daily')).status).toBe(200);
});

test('is for operators, of a workspace that holds something and a projection that there is', async () => {
  expect((await rebuild('', { key: await service.key('auditor') })).status).toBe(403);
  expect((await rebuild('?projection=journal')).status).toBe(400);
  expect((await rebuild('?force=yes')).status).toBe(400);
  expect((await rebuild('', { workspace: 'nowhere' })).status).toBe(404);
  await service.key('reader', 'empty');
  expect((await rebuild('', { workspace: 'empty' })).status).toBe(404);
});
