import type { Role } from '../../projections/index.ts';

/** `open`: no key. `any`: every valid key, no workspace needed. Else the roles; an operator may do everything. */
export type Permission = 'open' | 'any' | 'operator' | readonly Exclude<Role, 'operator'>[];

const APPEND = ['writer'] as const;
const READ = ['reader', 'auditor'] as const;
const AUDIT = ['auditor'] as const;

/** Who may use which route: the only such list. A route without an entry stops the start. */
export const PERMISSIONS: Readonly<Record<string, Permission>> = {
  'GET /health': 'open',
  'GET /ready': 'any',
  'GET /metrics': 'any',
  'GET /': 'any',
  'GET /openapi.json': 'any',
  'GET /docs': 'any',
  'GET /docs/{asset}': 'any',
  'POST /journal/events': APPEND,
  'POST /journal/ingest': APPEND,
  'POST /journal/flush': APPEND,
  'POST /journal/compact': 'operator',
  'POST /journal/retention': 'operator',
  'GET /journal/holds': 'operator',
  'POST /journal/holds': 'operator',
  'DELETE /journal/holds/{name}': 'operator',
  'GET /journal/stats': ['writer', ...READ],
  'GET /journal/entity/{id}': READ,
  'GET /journal/entity/{id}/state': READ,
  'GET /journal/recent': READ,
  'GET /journal/tail': READ,
  'GET /journal/events/{event_id}': READ,
  'POST /journal/query': READ,
  'GET /journal/export': READ,
  'GET /journal/verify': AUDIT,
  'POST /axioms': APPEND,
  'GET /compliance/events': READ,
  'GET /compliance/events/{source_id}': READ,
  'GET /compliance/export': READ,
  'GET /compliance/stats': READ,
  'POST /compliance/rebuild': 'operator',
  'GET /dead-letters': 'operator',
  'GET /dead-letters/{id}': 'operator',
  'POST /dead-letters/{id}/replay': 'operator',
  'DELETE /dead-letters/{id}': 'operator',
  'GET /streams': 'operator',
  'POST /streams/{name}/replay': 'operator',
  'GET /workspaces': 'operator',
  'POST /workspaces': 'operator',
  'DELETE /workspaces/{id}': 'operator',
  'GET /workspaces/{id}/ai-key': 'operator',
  'PUT /workspaces/{id}/ai-key': 'operator',
  'DELETE /workspaces/{id}/ai-key': 'operator',
  'GET /keys': 'operator',
  'POST /keys': 'operator',
  'DELETE /keys/{id}': 'operator',
};

/** @throws Error for a route that nobody thought about. */
export function permissionOf(method: string, path: string): Permission {
  const permission = PERMISSIONS[`${method.toUpperCase()} ${path}`];
  if (permission === undefined) throw new Error(`${method} ${path} has no entry in src/http/permissions.ts`);
  return permission;
}

export function allows(permission: Permission, role: Role): boolean {
  if (role === 'operator' || permission === 'open' || permission === 'any') return true;
  return permission !== 'operator' && permission.includes(role);
}
