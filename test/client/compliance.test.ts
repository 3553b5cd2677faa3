import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import {
  type AxiomInput,
  type ComplianceEvent,
  IndelibleClient,
  IndelibleClientError,
} from '../../src/client/index.ts';
import { OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';
import { ScriptedService, sendJson } from './scripted-service.ts';

let service: TestService;
let client: IndelibleClient;
beforeAll(async () => {
  service = await startService();
  client = new IndelibleClient({ url: service.url, key: OPERATOR_KEY, workspace: 'acme' });
});
afterAll(() => service.stop());

const axioms: AxiomInput[] = Array.from({ length: 25 }, (_, at) => ({
  ...(at === 3 ? {} : { source_id: `s/${at}?#ž` }),
  domain: 'payments',
  anomaly_score: at % 5 === 0 ? 0.9 : 0.5,
  payload: { at },
}));

test('signals go in, verdicts come out: as a list over pages, one by one, as figures and as a file', async () => {
  expect(await client.axioms(axioms)).toEqual({ accepted: 25, duplicates: 0, unknown: 1, first_seq: 0, last_seq: 24 });
  await vi.waitFor(async () => expect((await client.complianceStats()).verdicts).toBe(25), { timeout: 10_000 });
  const all: ComplianceEvent[] = [];
  for await (const row of client.complianceEvents({ limit: 4 })) all.push(row);
  expect(all).toHaveLength(25);
  expect(new Set(all.map(({ id }) => id)).size).toBe(25);
  const flagged: ComplianceEvent[] = [];
  for await (const row of client.complianceEvents({ limit: 2, flagged: true })) flagged.push(row);
  expect(flagged).toEqual(all.filter(({ routed_to_ai }) => routed_to_ai));
  const source = await client.complianceEvent('s/7?#ž');
  expect(source.events).toEqual(all.filter(({ source_id }) => source_id === 's/7?#ž'));
  expect(source.axiom_event).toMatchObject({ entity_id: 's/7?#ž', new_value: { payload: { at: 7 } } });
  expect((await client.complianceEvent('unknown', { limit: 1 })).events).toHaveLength(1);
  const csv = await new Response(await client.complianceExport({ flagged: 'all' })).text();
  expect(csv.split('\r\n')).toHaveLength(25 + 2);
  expect((await new Response(await client.complianceExport()).text()).split('\r\n')).toHaveLength(flagged.length + 2);
  await client.seal();
  await service.services.projections.catchUp('acme');
  expect(await client.rebuild()).toMatchObject({ projection: 'compliance_events', agreed: true, new: { rows: 25 } });
  expect(await client.rebuild({ projection: 'activity_daily' })).toMatchObject({ agreed: true });
});

test('the tail gives events of one type alone', async () => {
  const types: string[] = [];
  for await (const event of client.tail({ after: -1, type: 'indelible.verdict' })) {
    types.push(event.entity_type);
    if (types.length === 25) break;
  }
  expect(new Set(types)).toEqual(new Set(['indelible.verdict']));
});

test('keys for the model', async () => {
  const { aiKeys } = new IndelibleClient({ url: service.url, key: OPERATOR_KEY });
  const status = await aiKeys.set('acme', { provider: 'gemini', key: 'AIza-of-the-client', model: 'gemini-x' });
  expect(status).toMatchObject({ provider: 'gemini', model: 'gemini-x', usable: true });
  expect(await aiKeys.status('acme')).toEqual(status);
  expect(await aiKeys.remove('acme')).toEqual({ removed: true });
  await expect(aiKeys.status('acme')).rejects.toMatchObject({ status: 404 });
});

test('signals are sent again after a failure only where each has a source_id', async () => {
  const scripted = await ScriptedService.start();
  const retry = { attemptsMax: 3, totalMs: 5_000, firstDelayMs: 1 };
  const faulty = new IndelibleClient({ url: scripted.url, retry });
  const answer = { accepted: 1, duplicates: 0, unknown: 0, first_seq: 0, last_seq: 0 };
  scripted.routes.set('POST /axioms', (_request, response) => sendJson(response, 202, answer));
  const unavailable = () => scripted.faults.push({ kind: 'status', status: 503 });
  unavailable();
  const named = { source_id: 'a', domain: 'x', anomaly_score: 1 };
  expect(await faulty.axioms([named])).toEqual(answer);
  unavailable();
  await expect(faulty.axioms([named, { domain: 'x', anomaly_score: 1 }])).rejects.toBeInstanceOf(IndelibleClientError);
  expect(scripted.requests).toHaveLength(3);
  await scripted.close();
});
