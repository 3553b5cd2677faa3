import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Role } from '../../projections/index.ts';
import { allows, PERMISSIONS } from '../../src/http/index.ts';
import { axiom, get, judged, postAxioms, type VerdictPage } from './compliance-support.ts';
import { event, startService, type TestService } from '../support/http-service.ts';

/** Stands in the values and actors of the other workspace's events; never part of a question, never to be seen. */
const MARK = 'belongs-to-rival';
const RIVAL_ENTITY = 'rival-entity';
const RIVAL_EVENT = 'rival-event';
const RIVAL_SOURCE = 'rival/source';
const ROLES: Role[] = ['writer', 'reader', 'auditor'];

type Operation = {
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, unknown> };
  security?: unknown[];
  'x-roles': string[];
};
type Case = { method: string; path: string; operation: Operation };

let service: TestService;
let cases: Case[];
const own = new Map<Role, string>();
let rivalIds: Record<string, string[]>;

beforeAll(async () => {
  service = await startService();
  await service.post([event({ event_id: 'ours', entity_id: 'shared/id' })]);
  const rival = [
    event({ event_id: RIVAL_EVENT, entity_id: 'shared/id', actor: MARK, new_value: MARK }),
    event({ event_id: `${RIVAL_EVENT}-2`, entity_id: RIVAL_ENTITY, actor: MARK, new_value: MARK }),
  ];
  await service.post(rival, { workspace: 'rival' });
  await service.call('/journal/flush', { method: 'POST', workspace: 'rival' });
  await service.post([event({ entity_id: 'shared/id', actor: MARK, new_value: MARK })], { workspace: 'rival' });
  await service.post([event({ entity_id: RIVAL_SOURCE })]);
  const signals = [axiom({ source_id: RIVAL_SOURCE, domain: MARK }), axiom({ source_id: 'shared/id', domain: MARK })];
  await postAxioms(service, signals, 'rival');
  await judged(service, signals.length, 'rival');
  const verdicts = await get<VerdictPage>(service, '/compliance/events?limit=1', 'rival');
  for (const role of ROLES) own.set(role, await service.key(role, 'acme'));
  const rivalKey = await service.key('writer', 'rival');
  const recent = await (await service.call('/journal/recent?limit=1', { workspace: 'rival' })).json();
  // What a request may be filled with, by parameter: all of it is the other workspace's.
  rivalIds = {
    id: [RIVAL_ENTITY, 'shared%2Fid', rivalKey.slice(4, 16), 'rival', '..%2Frival', '%2e%2e/rival/shared'],
    event_id: [RIVAL_EVENT, `${RIVAL_EVENT}-2`, verdicts.events[0]?.id as string],
    source_id: [encodeURIComponent(RIVAL_SOURCE), 'shared%2Fid', '..%2Frival'],
    name: ['theirs', 'rival%2Ftheirs'],
    asset: ['..%2f..%2fdata', 'swagger-ui.css'],
    cursor: [recent.next_cursor, verdicts.next_cursor as string],
    entity_id: ['shared/id', RIVAL_ENTITY],
  };
  const description = await (await service.call('/openapi.json')).json();
  cases = Object.entries(description.paths as Record<string, Record<string, Operation>>).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
});
afterAll(() => service.stop());

/** Bodies by media type and path; a route with another kind of body fails the test until it is taught here. */
function bodyOf({ path, operation }: Case): { type: string; text: string } | undefined {
  const types = Object.keys(operation.requestBody?.content ?? {});
  if (types.length === 0) return undefined;
  const events = `${JSON.stringify({ ...event(), workspace_id: 'rival' })}\n`;
  const known: Record<string, { type: string; text: string }> = {
    '/journal/events': { type: 'application/x-ndjson', text: events },
    '/journal/ingest': { type: 'application/x-ndjson', text: events },
    '/journal/query': { type: 'application/json', text: JSON.stringify({ sql: 'SELECT * FROM journal' }) },
    '/journal/retention': { type: 'application/json', text: JSON.stringify({ seq: 1, reason: 'theirs' }) },
    '/journal/holds': { type: 'application/json', text: JSON.stringify({ name: 'theirs', reason: 'x' }) },
    '/axioms': {
      type: 'application/json',
      text: JSON.stringify({ domain: 'theirs', anomaly_score: 1, source_id: 'theirs/1' }),
    },
    '/streams/{name}/replay': { type: 'application/json', text: JSON.stringify({ group: 'theirs', from: '0' }) },
    '/workspaces/{id}/ai-key': {
      type: 'application/json',
      text: JSON.stringify({ provider: 'gemini', key: 'a-key-for-a-rival' }),
    },
    '/keys': { type: 'application/json', text: JSON.stringify({ workspace: 'rival', role: 'writer', name: 'x' }) },
    '/workspaces': { type: 'application/json', text: JSON.stringify({ id: 'rival' }) },
  };
  const body = known[path];
  if (body === undefined) throw new Error(`${path} takes a body that this test does not know: teach it`);
  return body;
}

/** Every path of the route with every id of the other workspace in it. */
function targets({ path, operation }: Case): string[] {
  let paths = [path];
  for (const [, name] of path.matchAll(/\{(\w+)\}/g)) {
    const ids = rivalIds[name as string];
    if (ids === undefined) throw new Error(`${path}: this test does not know a rival's ${name}: teach it`);
    paths = paths.flatMap((filled) => ids.map((id) => filled.replace(`{${name}}`, id)));
  }
  const query = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query');
  const filled = query.flatMap(({ name }) =>
    (rivalIds[name] ?? []).map((value) => `${name}=${encodeURIComponent(value)}`),
  );
  return paths.flatMap((one) => [one, ...filled.map((text) => `${one}?${text}`)]);
}

async function send(one: Case, target: string, key: string | null, headers: Record<string, string> = {}) {
  const body = bodyOf(one);
  const abort = new AbortController();
  const response = await service.call(target, {
    method: one.method,
    key,
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': body.type }) },
    ...(body === undefined ? {} : { body: body.text }),
    signal: abort.signal,
  });
  if (response.headers.get('content-type') !== 'text/event-stream') {
    return { status: response.status, text: await response.text() };
  }
  // A tail has no end: a while of it is enough, since it would begin with what is there.
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = '';
  const timer = setTimeout(() => abort.abort(), 150);
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read())
      text += Buffer.from(next.value).toString();
  } catch {
    // Aborted by the timer.
  }
  clearTimeout(timer);
  return { status: response.status, text };
}

describe('every route of the description', () => {
  test('is in the permission table and the other way round, with the roles it says', () => {
    const described = cases.map(({ method, path }) => `${method} ${path}`).sort();
    expect(described).toEqual(Object.keys(PERMISSIONS).sort());
    expect(described.length).toBeGreaterThan(20);
    for (const { method, path, operation } of cases) {
      const permission = PERMISSIONS[`${method} ${path}`] as (typeof PERMISSIONS)[string];
      for (const role of [...ROLES, 'operator'] as Role[]) {
        const says = operation['x-roles'];
        const described = says.includes(role) || says[0] === 'any' || says[0] === 'open';
        expect(described, `${method} ${path} for ${role}`).toBe(allows(permission, role));
      }
      expect(operation.security?.length === 0).toBe(permission === 'open');
    }
  });

  test('needs a key, but health', async () => {
    for (const one of cases) {
      for (const target of targets(one)) {
        for (const key of [null, `ind_aaaaaaaaaaaa_${'a'.repeat(43)}`]) {
          const { status, text } = await send(one, target, key);
          if (one.path === '/health') expect(status).toBe(200);
          else expect(status, `${one.method} ${target}`).toBe(401);
          expect(text).not.toContain(MARK);
        }
      }
    }
  });

  test('gives no role anything of another workspace, whatever it names', async () => {
    const before = await service.services.journals.stats('rival');
    let asked = 0;
    for (const one of cases) {
      for (const role of ROLES) {
        const key = own.get(role) as string;
        const allowed = allows(PERMISSIONS[`${one.method} ${one.path}`] as (typeof PERMISSIONS)[string], role);
        for (const target of targets(one)) {
          const label = `${one.method} ${target} as ${role}`;
          const plain = await send(one, target, key);
          expect(plain.text, label).not.toContain(MARK);
          if (!allowed) expect([403, 404], label).toContain(plain.status);
          const scoped = one.operation.parameters?.some(({ name }) => name === 'workspace' && one.path !== '/keys');
          const separator = target.includes('?') ? '&' : '?';
          const byQuery = await send(one, `${target}${separator}workspace=rival`, key);
          const byHeader = await send(one, target, key, { 'X-Workspace': 'rival' });
          for (const { status, text } of [byQuery, byHeader]) {
            expect(text, label).not.toContain(MARK);
            if (scoped && allowed && !target.includes('%2e%2e')) expect(status, label).toBe(403);
          }
          asked += 3;
        }
      }
    }
    expect(asked).toBeGreaterThan(300);
    expect((await service.services.journals.stats('rival')).durable_seq).toBe(before.durable_seq);
    expect(service.keys.keys().filter((key) => key.workspace === 'rival' && key.revoked_at !== null)).toEqual([]);
  });
});

test('SQL reaches no file of another workspace', async () => {
  if (PERMISSIONS['POST /journal/query'] === undefined) throw new Error('there is no SQL route');
  const snapshot = await service.services.journals.snapshot('rival');
  const paths = [...(await snapshot.hold(snapshot.files)).paths, ...(await snapshot.tailFiles())];
  snapshot.release();
  expect(paths.length).toBeGreaterThan(1);
  for (const path of paths) {
    for (const sql of [
      `SELECT * FROM read_parquet('${path}')`,
      `SELECT * FROM read_text('${path}')`,
      `FROM '${path}'`,
    ]) {
      const response = await service.call('/journal/query', {
        method: 'POST',
        key: own.get('reader') as string,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ sql }),
      });
      expect(response.status, sql).toBe(400);
      expect(await response.text(), sql).not.toContain(MARK);
    }
  }
});
