import { afterAll, beforeAll, expect, test } from 'vitest';
import { event, OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const ask = async (sql: string, workspace?: string) => {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (workspace !== undefined) headers['X-Workspace'] = workspace;
  const body = JSON.stringify({ sql });
  return (await service.call('/journal/query', { method: 'POST', key: OPERATOR_KEY, headers, body })).json();
};

const DAYS = 'SELECT entity_type, action, risk_level, events FROM ACTIVITY_DAILY';

test('the views of a query count every durable event, before and after it is sealed and folded', async () => {
  const events = Array.from({ length: 5 }, () => event({ entity_type: 'doc', action: 'insert' }));
  await service.post(events);
  expect(await ask(DAYS)).toMatchObject({ rows: [['doc', 'insert', null, 5]] });
  await service.call('/journal/flush', { method: 'POST' });
  expect(await ask(DAYS)).toMatchObject({ rows: [['doc', 'insert', null, 5]] });
  await service.post(events.slice(0, 2));
  expect(await ask(DAYS)).toMatchObject({ rows: [['doc', 'insert', null, 7]] });
  expect(await ask('SELECT count(*) FROM compliance_events')).toMatchObject({ rows: [[0]] });
});

test('a workspace that holds nothing has views without rows', async () => {
  await service.call('/workspaces', { method: 'POST', key: OPERATOR_KEY, body: JSON.stringify({ id: 'empty' }) });
  for (const name of ['compliance_events', 'activity_daily']) {
    expect(await ask(`SELECT count(*) FROM ${name}`, 'empty')).toMatchObject({ rows: [[0]] });
  }
});
