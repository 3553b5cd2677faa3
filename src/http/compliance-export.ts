import { z } from '@hono/zod-openapi';
import type { ComplianceExport, ComplianceRow } from '../../projections/index.ts';
import { BYTE_ORDER_MARK, csvCell, disarmed } from '../../queries/index.ts';
import type { RequestLog } from './request-log.ts';
import { type App, addRoute } from './route.ts';
import { TimeParam } from './schemas.ts';
import type { Services } from './services.ts';
import { sendStream } from './stream-out.ts';
import { knownWorkspace } from './workspace-view.ts';

/** The columns that auditors were promised, in the order that they were. */
const COLUMNS = [
  'id',
  'source_id',
  'domain',
  'status',
  'metric_value',
  'anomaly_score',
  'routed_to_ai',
  'risk_level',
  'driver_used',
  'audit_narrative',
  'emitted_at',
  'created_at',
] as const satisfies readonly (keyof ComplianceRow)[];

const LINE_END = '\r\n';

type Profile = 'raw' | 'spreadsheet';

/** The verdicts as a file for auditors. */
export function addComplianceExport(app: App, services: Services, requestLog: RequestLog): void {
  addRoute(app, services, {
    method: 'get',
    path: '/compliance/export',
    summary: 'Verdicts as CSV',
    description: `The columns ${COLUMNS.join(', ')}, by ascending seq of the verdict, streamed; flagged ones (routed_to_ai) only, unless asked for otherwise. Times are compared with emitted_at, from ≤ t < to. X-Row-Count says how many rows follow; a transfer that would be short of them is broken off, never cleanly ended. The spreadsheet profile adds a byte order mark and disarms formulas; raw alters nothing.`,
    scoped: true,
    query: z.object({
      from: TimeParam.optional(),
      to: TimeParam.optional(),
      flagged: z.enum(['true', 'false', 'all']).default('true'),
      profile: z.enum(['raw', 'spreadsheet']).default('raw'),
    }),
    responses: {
      200: {
        description: 'The file',
        content: { 'text/csv': { schema: z.string().openapi({ format: 'binary' }) } },
      },
    },
    async handle({ c, workspace, requestId, query: { from, to, flagged, profile } }) {
      const filter = { from, to, flagged: flagged === 'all' ? undefined : flagged === 'true' };
      const startedMs = performance.now();
      const rows = knownWorkspace(services, workspace)
        ? await services.complianceEvents.exportRows(workspace, filter)
        : noRows();
      const day = new Date(services.clock.nowMs()).toISOString().slice(0, 10);
      const name = `compliance-events-${day}.csv`;
      const headers = {
        'Content-Type': 'text/csv; charset=utf-8',
        'Content-Disposition': `attachment; filename="${name}"; filename*=UTF-8''${name}`,
        'X-Row-Count': String(rows.count),
      };
      const response = await sendStream(c, headers, csvOf(rows, profile), (error) =>
        requestLog.problem(error, requestId),
      );
      services.metrics.queryDone('compliance-export', performance.now() - startedMs);
      return response;
    },
  });
}

/** Of a workspace that holds nothing. */
function noRows(): ComplianceExport {
  return { count: 0, batches: (async function* () {})() };
}

async function* csvOf({ batches }: ComplianceExport, profile: Profile): AsyncGenerator<string> {
  let text = `${profile === 'spreadsheet' ? BYTE_ORDER_MARK : ''}${COLUMNS.join(',')}${LINE_END}`;
  // The first batch goes out with the header: what fails until then is a problem document.
  for await (const rows of batches) {
    for (const row of rows) text += `${COLUMNS.map((name) => cellOf(row[name], profile)).join(',')}${LINE_END}`;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}

function cellOf(value: string | number | boolean | null, profile: Profile): string {
  return csvCell(profile === 'spreadsheet' && typeof value === 'string' ? disarmed(value) : value);
}
