import { randomBytes } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Keys, loadSecret } from '../../src/keys.ts';
import { event, OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';

const random = { bytes: (count: number) => new Uint8Array(randomBytes(count)) };

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const make = (body: unknown) => service.call('/keys', { method: 'POST', body: JSON.stringify(body) });

describe('keys', () => {
  test('a key is shown once; neither the list nor the journal nor the log has it', async () => {
    await service.call('/workspaces', { method: 'POST', body: JSON.stringify({ id: 'shown' }) });
    const made = await (await make({ workspace: 'shown', role: 'reader', name: 'Ann’s laptop' })).json();
    expect(made.key).toMatch(new RegExp(`^ind_${made.id}_[A-Za-z0-9_-]{43}$`));
    expect(made).not.toHaveProperty('hmac');
    const list = await (await service.call('/keys')).text();
    const secretPart = made.key.slice(17);
    expect(list).toContain(made.id);
    expect(list).not.toContain(secretPart);
    expect(list).not.toContain('hmac');
    await service.call('/journal/recent', { key: made.key });
    expect(service.logLines.join('\n')).toContain(made.id);
    expect(service.logLines.join('\n')).not.toContain(secretPart);
    const snapshot = await service.services.journals.snapshot('_system');
    const system = JSON.stringify([...snapshot.tailEvents()]);
    snapshot.release();
    expect(system).toContain(made.id);
    expect(system).not.toContain(secretPart);
  });

  test('a revoked key stops at once, and stays revoked after a restart', async () => {
    const key = await service.key('writer', 'revoked');
    const id = key.slice(4, 16);
    expect((await service.post(event(), { key })).status).toBe(201);
    expect((await service.call(`/keys/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect((await service.post(event(), { key })).status).toBe(401);
    const other = await service.key('reader', 'revoked');
    await service.call('/journal/flush', { method: 'POST', workspace: 'revoked' });
    service = await service.restart();
    expect((await service.post(event(), { key })).status).toBe(401);
    expect((await service.call('/journal/recent', { key: other })).status).toBe(200);
    expect((await service.call(`/keys/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect((await service.call('/keys/aaaaaaaaaaaa', { method: 'DELETE' })).status).toBe(404);
  });

  test.each([
    [{ role: 'reader', name: 'x' }, '/workspace'],
    [{ role: 'operator', name: 'x', workspace: 'acme' }, '/workspace'],
    [{ role: 'king', name: 'x', workspace: 'acme' }, '/role'],
    [{ role: 'reader', workspace: 'acme' }, '/name'],
    [{ role: 'reader', workspace: '../acme', name: 'x' }, '/workspace'],
    [{ role: 'reader', workspace: 'acme', name: 'x', admin: true }, '/admin'],
  ])('a bad wish for a key is refused: %j', async (body, pointer) => {
    const response = await make(body);
    expect(response.status).toBe(400);
    expect((await response.json()).errors[0]?.pointer).toBe(pointer);
  });

  test('a key for a workspace that nobody made is refused', async () => {
    expect((await make({ workspace: 'typo', role: 'reader', name: 'x' })).status).toBe(404);
  });
});

describe('authentication', () => {
  test('no key, an unknown key, a damaged key', async () => {
    const key = await service.key('reader', 'auth');
    const damaged = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A');
    for (const bad of [null, 'nonsense', '', damaged, key.toUpperCase(), `${key}x`, 'x'.repeat(600)]) {
      const response = await service.call('/journal/recent', { key: bad });
      expect(response.status, String(bad)).toBe(401);
      expect(response.headers.get('www-authenticate')).toContain('Bearer');
    }
    expect((await service.call('/no/such/route', { key: null })).status).toBe(401);
    expect((await service.call('/health', { key: null })).status).toBe(200);
  });

  test('a browser may send the key as a password, but another site cannot make it change anything', async () => {
    const basic = `Basic ${Buffer.from(`anyone:${OPERATOR_KEY}`).toString('base64')}`;
    const headers = { Authorization: basic, 'X-Workspace': 'acme' };
    expect((await fetch(`${service.url}/docs`, { headers })).status).toBe(200);
    const foreign = { ...headers, Origin: 'https://evil.example' };
    expect((await fetch(`${service.url}/journal/flush`, { method: 'POST', headers: foreign })).status).toBe(403);
    const own = { ...headers, Origin: service.url };
    expect((await fetch(`${service.url}/journal/flush`, { method: 'POST', headers: own })).status).not.toBe(403);
  });

  test('an operator names one workspace; nobody else names another than their own', async () => {
    await service.post(event());
    expect((await service.call('/journal/recent', { workspace: null })).status).toBe(400);
    expect((await service.call('/journal/recent?workspace=acme', { workspace: null })).status).toBe(200);
    expect((await service.call('/journal/recent?workspace=other')).status).toBe(400);
    expect((await service.call('/journal/recent', { workspace: '_system' })).status).toBe(400);
    const key = await service.key('reader');
    expect((await service.call('/journal/recent', { key })).status).toBe(200);
    expect((await service.call('/journal/recent', { key, headers: { 'X-Workspace': 'other' } })).status).toBe(403);
    expect((await service.call('/journal/recent?workspace=other', { key })).status).toBe(403);
  });
});

describe('workspaces', () => {
  test("an operator's first append makes one; a reader's typo does not", async () => {
    expect((await service.call('/journal/recent', { workspace: 'fresh' })).status).toBe(404);
    expect((await service.post([{ bad: true }], { workspace: 'fresh' })).status).toBe(400);
    expect((await service.call('/journal/recent', { workspace: 'fresh' })).status).toBe(404);
    expect((await service.post(event(), { workspace: 'fresh' })).status).toBe(201);
    expect((await service.call('/journal/recent', { workspace: 'fresh' })).status).toBe(200);
  });

  test('one without events answers, empty', async () => {
    await service.call('/workspaces', { method: 'POST', body: JSON.stringify({ id: 'empty' }) });
    const recent = await (await service.call('/journal/recent', { workspace: 'empty' })).json();
    expect(recent).toEqual({ events: [], next_cursor: null, complete_through: -1 });
    const stats = await (await service.call('/journal/stats', { workspace: 'empty' })).json();
    expect(stats).toMatchObject({ total_events: 0, durable_seq: -1 });
    const flush = await service.call('/journal/flush', { method: 'POST', workspace: 'empty' });
    expect(await flush.json()).toEqual({ events: 0 });
  });

  test('a closed one keeps its events, takes no more, and its keys are dead', async () => {
    const writer = await service.key('writer', 'closing');
    await service.post(event({ event_id: 'kept' }), { key: writer });
    expect((await service.call('/workspaces/closing', { method: 'DELETE' })).status).toBe(200);
    expect((await service.post(event(), { key: writer })).status).toBe(401);
    expect((await service.post(event(), { workspace: 'closing' })).status).toBe(409);
    service = await service.restart();
    expect((await service.post(event(), { workspace: 'closing' })).status).toBe(409);
    expect((await service.call('/journal/events/kept', { workspace: 'closing' })).status).toBe(200);
    expect((await service.call('/workspaces/nothing', { method: 'DELETE' })).status).toBe(404);
  });
});

describe('the first start', () => {
  test('makes one operator key, once', async () => {
    const { journals } = service.services;
    const secret = await loadSecret(service.dir, random);
    const keys = await Keys.open({ journals, secret, random });
    const keyText = await keys.ensureOperatorKey();
    expect(keyText).toMatch(/^ind_/);
    expect(keys.authenticate(keyText as string)).toMatchObject({ role: 'operator', workspace: null });
    expect(await keys.ensureOperatorKey()).toBeUndefined();
    const again = await Keys.open({ journals, secret, random });
    expect(await again.ensureOperatorKey()).toBeUndefined();
    expect(again.authenticate(keyText as string)?.role).toBe('operator');
    const otherSecret = await Keys.open({ journals, secret: random.bytes(32), random });
    expect(otherSecret.authenticate(keyText as string)).toBeUndefined();
  });

  test('keeps the secret to itself, and refuses a damaged one', async () => {
    const path = join(service.dir, 'secret');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.slice(0, 20));
    await expect(loadSecret(service.dir, random)).rejects.toThrow('damaged');
    await writeFile(path, text);
    expect((await loadSecret(service.dir, random)).toString('hex')).toBe(text.trim());
  });
});
