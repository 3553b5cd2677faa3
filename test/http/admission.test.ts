import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { IndelibleError } from '../../journal/index.ts';
import { axiom } from './compliance-support.ts';
import { event, OPERATOR_KEY, startService, type TestService } from '../support/http-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());
afterEach(() => {
  service.services.admission = { admit: () => {} };
});

const ndjson = (values: unknown[]) => values.map((one) => `${JSON.stringify(one)}\n`).join('');
const many = <T>(count: number, make: () => T) => Array.from({ length: count }, make);

/** From then on those of low priority are refused; what was asked is kept. */
function refuseLow(): string[] {
  const asked: string[] = [];
  service.services.admission = {
    admit(priority) {
      asked.push(priority);
      if (priority === 'low') throw new IndelibleError('busy', 'the queue is long', { retryAfterS: 9 });
    },
  };
  return asked;
}

/** Only so many parts are admitted. */
function admitOnly(parts: number): void {
  let admitted = 0;
  service.services.admission = {
    admit() {
      admitted += 1;
      if (admitted > parts) throw new IndelibleError('unavailable', 'the queue is full', { retryAfterS: 4 });
    },
  };
}

const send = (path: string, body: string, headers: Record<string, string> = {}) =>
  service.call(path, { method: 'POST', body, headers: { 'Content-Type': 'application/x-ndjson', ...headers } });

const TAKING: [string, () => string][] = [
  ['/journal/events', () => ndjson([event()])],
  ['/axioms', () => ndjson([axiom()])],
  ['/journal/ingest?format=ndjson', () => ndjson([event()])],
];

test.each(TAKING)('POST %s of low priority is refused while others pass', async (path, body) => {
  const asked = refuseLow();
  const refused = await send(path, body(), { Priority: 'u=5' });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '9']);
  expect((await send(path, body(), { Priority: 'u=1' })).status).toBeLessThan(300);
  expect(asked).toEqual(['low', 'normal']);
});

test('where nothing is said a file is of low priority, and the others are not', async () => {
  const asked = refuseLow();
  const statuses: number[] = [];
  for (const [path, body] of TAKING) statuses.push((await send(path, body(), { Priority: 'u=x' })).status);
  expect(statuses).toEqual([201, 202, 429]);
  expect(asked).toEqual(['normal', 'normal', 'low']);
});

test('who may not append is told so, and asks for nothing', async () => {
  const asked = refuseLow();
  const reader = await service.key('reader');
  const answers = await Promise.all(TAKING.map(([path]) => service.call(path, { method: 'POST', key: reader })));
  expect(answers.map(({ status }) => status)).toEqual([403, 403, 403]);
  expect(asked).toEqual([]);
});

test.each(TAKING)('POST %s is refused before its body is read', async (path) => {
  admitOnly(0);
  const socket = connect(service.running.port, '127.0.0.1');
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: x',
    `Authorization: Bearer ${OPERATOR_KEY}`,
    'X-Workspace: acme',
    'Content-Type: application/x-ndjson',
    'Content-Length: 1000',
  ];
  // Of the body nothing is ever sent: an answer can only come from who does not wait for it.
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 503 .*retry-after: 4\r\n/is);
});

test.each<[string, () => unknown]>([
  ['/journal/events', event],
  ['/axioms', axiom],
])('a long stream to %s asks again before each part, and says how far it came', async (path, make) => {
  admitOnly(2);
  const refused = await send(path, ndjson(many(20_001, make)));
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '4']);
  expect((await refused.json()).progress).toMatchObject({ events: 20_000, lines: 20_000 });
});
