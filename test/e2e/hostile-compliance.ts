import { gzipSync } from 'node:zlib';
import type { Hostile } from './hostile-requests.ts';

const json = (value: unknown) => JSON.stringify(value);
const axiom = (more: Record<string, unknown> = {}) => ({ domain: 'x', anomaly_score: 0.5, source_id: 's', ...more });

const signal = (name: string, status: number, body: string | Buffer, more: Partial<Hostile> = {}): Hostile => ({
  name: `a signal: ${name}`,
  status,
  method: 'POST',
  path: '/axioms',
  body,
  ...more,
  headers: { 'Content-Type': 'application/json', ...more.headers },
});
const get = (name: string, status: number, path: string, pointer?: string): Hostile => ({
  name,
  status,
  path,
  ...(pointer === undefined ? {} : { pointer }),
});
const aiKey = (name: string, status: number, body: string, more: Partial<Hostile> = {}): Hostile => ({
  name: `an AI key: ${name}`,
  status,
  method: 'PUT',
  path: '/workspaces/acme/ai-key',
  body,
  ...more,
  headers: { 'Content-Type': 'application/json', ...more.headers },
});
const rebuild = (name: string, status: number, query: string, more: Partial<Hostile> = {}): Hostile => ({
  name: `a rebuild: ${name}`,
  status,
  method: 'POST',
  path: `/compliance/rebuild${query}`,
  ...more,
});

/** Signals, verdicts, their export and rebuild, and keys for the model. */
export const COMPLIANCE: readonly Hostile[] = [
  signal('not JSON', 400, '{"domain":'),
  signal('none', 400, '[]'),
  signal('without a score', 400, json({ domain: 'x' }), { pointer: '/anomaly_score' }),
  signal('with a score as text', 400, json(axiom({ anomaly_score: '0.9' })), { pointer: '/anomaly_score' }),
  signal('with a score beyond a double', 400, '{"domain":"x","anomaly_score":1e999}', { pointer: '/anomaly_score' }),
  signal('with a verdict of its own', 400, json(axiom({ risk_level: 'low' })), { pointer: '/risk_level' }),
  signal('with a NUL in its source', 400, json(axiom({ source_id: 'a\u0000' })), { pointer: '/source_id' }),
  signal('with a source too long', 400, json(axiom({ source_id: 'x'.repeat(5000) })), { pointer: '/source_id' }),
  signal('__proto__', 400, '{"domain":"x","anomaly_score":1,"__proto__":{"routed_to_ai":false}}'),
  signal('too many', 413, json(Array.from({ length: 10_001 }, () => axiom()))),
  signal('a gzip bomb', 413, gzipSync(Buffer.alloc(100 * 1024 * 1024)), { headers: { 'Content-Encoding': 'gzip' } }),
  signal('as a form', 415, 'a=b', { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }),
  signal("a reader's", 403, json(axiom()), { key: 'acmeReader' }),
  {
    name: 'an event that passes for a verdict',
    status: 400,
    method: 'POST',
    path: '/journal/events',
    headers: { 'Content-Type': 'application/json' },
    body: json({ entity_type: 'indelible.verdict', entity_id: 's', action: 'insert', actor: 'me', new_value: {} }),
    pointer: '/entity_type',
  },
  get('verdicts: limit 0', 400, '/compliance/events?limit=0', '/limit'),
  get('verdicts: too many', 400, '/compliance/events?limit=1001', '/limit'),
  get('verdicts: flagged perhaps', 400, '/compliance/events?flagged=1', '/flagged'),
  get('verdicts: a risk that is none', 400, '/compliance/events?risk=LOW', '/risk'),
  get('verdicts: a domain of SQL that is too long', 400, `/compliance/events?domain=${"'--".repeat(50)}`, '/domain'),
  get('verdicts: a NUL in a status', 400, '/compliance/events?status=a%00b', '/status'),
  get('verdicts: an empty driver', 400, '/compliance/events?driver=', '/driver'),
  get('verdicts: a time that is none', 400, '/compliance/events?from=now', '/from'),
  get('verdicts: an unknown filter', 400, '/compliance/events?tier=model%27', '/tier'),
  get('verdicts: a filter twice', 400, '/compliance/events?risk=low&risk=high', '/risk'),
  get('verdicts: a cursor of SQL', 400, "/compliance/events?cursor=';drop%20table%20rows--", '/cursor'),
  get('verdicts: the cursor of another route', 400, '/compliance/events?limit=1&cursor={cursor}', '/cursor'),
  get('verdicts: the cursor of another workspace', 400, '/compliance/events?cursor={rivalCursor}', '/cursor'),
  get('a source that is none', 404, "/compliance/events/'%20OR%20'1'='1"),
  get('a source by a broken percent sign', 400, '/compliance/events/%zz', '/id'),
  get('a source too long', 400, `/compliance/events/${'x'.repeat(2000)}`, '/id'),
  get('a source with a NUL', 400, '/compliance/events/a%00', '/id'),
  get('verdicts as a file: a profile that is none', 400, '/compliance/export?profile=excel', '/profile'),
  get('verdicts as a file: flagged perhaps', 400, '/compliance/export?flagged=maybe', '/flagged'),
  get('verdicts as a file: of two workspaces', 400, '/compliance/export?workspace=rival', '/workspace'),
  { ...get("another workspace's verdicts as a file", 403, '/compliance/export'), key: 'rivalReader' },
  get('figures with a filter', 400, '/compliance/stats?from=2026-01-01T00:00:00Z', '/from'),
  { ...get("a writer's look at the verdicts", 403, '/compliance/events'), key: 'acmeWriter' },
  { ...get("a writer's look at the figures", 403, '/compliance/stats'), key: 'acmeWriter' },
  { name: 'deleting a verdict', status: 405, method: 'DELETE', path: '/compliance/events' },
  rebuild('of a projection that is none', 400, '?projection=..%2Fjournal', { pointer: '/projection' }),
  rebuild('forced by anything', 400, '?force=1', { pointer: '/force' }),
  rebuild("a reader's", 403, '', { key: 'acmeReader' }),
  rebuild('of a workspace that is not there', 404, '', { headers: { 'X-Workspace': 'acne' } }),
  aiKey('none', 400, '{"provider":"gemini"}', { pointer: '/key' }),
  aiKey('with a line break', 400, json({ provider: 'gemini', key: 'AIza-x\r\nX-Admin: 1' }), { pointer: '/key' }),
  aiKey('of nobody', 400, json({ provider: 'evil', key: 'AIza-123456' }), { pointer: '/provider' }),
  aiKey('with a model up the tree', 400, json({ provider: 'gemini', key: 'AIza-123456', model: '../../x' }), {
    pointer: '/model',
  }),
  aiKey('with an address', 400, json({ provider: 'gemini', key: 'AIza-123456', base_url: 'http://evil' }), {
    pointer: '/base_url',
  }),
  aiKey('too large', 413, json({ provider: 'gemini', key: 'x'.repeat(20_000) })),
  aiKey('of a workspace that is not there', 404, json({ provider: 'gemini', key: 'AIza-123456' }), {
    path: '/workspaces/acne/ai-key',
  }),
  aiKey("of the service's own workspace", 404, json({ provider: 'gemini', key: 'AIza-123456' }), {
    path: '/workspaces/_system/ai-key',
  }),
  aiKey("a writer's", 403, json({ provider: 'gemini', key: 'AIza-123456' }), { key: 'acmeWriter' }),
  { ...get("a reader's look at the AI key", 403, '/workspaces/acme/ai-key'), key: 'acmeReader' },
  { name: 'the end of an AI key that is none', status: 404, method: 'DELETE', path: '/workspaces/acme/ai-key' },
];
