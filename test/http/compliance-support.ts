import { expect, vi } from 'vitest';
import type { TestService } from '../support/http-service.ts';

type Row = Record<string, unknown> & {
  id: string;
  seq: number;
  source_id: string;
  domain: string;
  status: string | null;
  emitted_at: string;
  routed_to_ai: boolean;
  risk_level: string;
  driver_used: string;
  axiom_event_id: string;
  links: Record<string, string>;
};
export type VerdictPage = { events: Row[]; next_cursor: string | null; complete_through: number };

/** A signal; whatever is not said is plausible. */
export function axiom(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { domain: 'payments', anomaly_score: 0.1, emitted_at: '2026-01-02T03:04:05Z', ...more };
}

export async function postAxioms(service: TestService, axioms: unknown[], workspace = 'acme'): Promise<void> {
  const response = await service.call('/axioms', {
    method: 'POST',
    workspace,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(axioms),
  });
  expect(response.status, await response.clone().text()).toBe(202);
}

/** The JSON of an answer that must be a good one. */
export async function get<T>(service: TestService, path: string, workspace = 'acme'): Promise<T> {
  const response = await service.call(path, { workspace });
  const text = await response.text();
  expect(response.status, `${path}: ${text}`).toBe(200);
  return JSON.parse(text) as T;
}

/** Resolves once the workspace has so many verdicts. */
export async function judged(service: TestService, verdicts: number, workspace = 'acme'): Promise<void> {
  await vi.waitFor(
    async () => {
      const stats = await get<{ verdicts: number }>(service, '/compliance/stats', workspace);
      expect(stats.verdicts).toBe(verdicts);
    },
    { timeout: 15_000 },
  );
}

/** Every row of a list, page by page. */
export async function allRows(service: TestService, path: string, workspace = 'acme'): Promise<Row[]> {
  const rows: Row[] = [];
  const separator = path.includes('?') ? '&' : '?';
  for (let cursor: string | null = ''; cursor !== null; ) {
    const next: string = cursor === '' ? '' : `${separator}cursor=${cursor}`;
    const page: VerdictPage = await get<VerdictPage>(service, `${path}${next}`, workspace);
    rows.push(...page.events);
    cursor = page.next_cursor;
  }
  return rows;
}
