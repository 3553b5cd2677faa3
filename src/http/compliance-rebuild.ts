import { z } from '@hono/zod-openapi';
import { IndelibleError } from '../../journal/index.ts';
import { COMPLIANCE_EVENTS, PROJECTIONS } from '../../projections/index.ts';
import type { RequestLog } from './request-log.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer } from './schemas.ts';
import type { Services } from './services.ts';
import { sendWhenDone } from './stream-out.ts';

const VERSION = z.object({
  version: z.int(),
  rows: z.int(),
  last_seq: z.int(),
  content_hash: z.string().openapi({ description: 'Of all rows, in whatever order: docs/format.md has the formula.' }),
});

const Certificate = z
  .object({
    projection: z.string(),
    workspace: z.string(),
    first_seq: z.int().openapi({ description: 'Above 0: retention removed the events before it.' }),
    position: z.int().openapi({ description: 'Both versions were compared here.' }),
    carried_rows: z.int().openapi({ description: 'Rows of removed events, copied from the old version.' }),
    old: VERSION,
    new: VERSION,
    agreed: z.boolean(),
    forced: z.boolean(),
    differing_seqs: z.array(z.int()).openapi({ description: 'The first that only one of them holds.' }),
    made_at: z.string(),
    by: z.string(),
  })
  .openapi('RebuildCertificate');

/** Making a projection anew, for the operator. */
export function addComplianceRebuild(app: App, services: Services, requestLog: RequestLog): void {
  const running = new Set<string>();
  addRoute(app, services, {
    method: 'post',
    path: '/compliance/rebuild',
    summary: 'Make a projection anew from the journal',
    description:
      'Builds a new version beside the one in use, which goes on being read and kept up, compares both and answers the certificate. The new one takes over only where they agree, or by force. No model is asked: verdicts are events of the journal. The rebuild becomes an event too.',
    scoped: true,
    query: z.object({
      projection: z
        .enum(PROJECTIONS.map(({ name }) => name))
        .default(COMPLIANCE_EVENTS.name)
        .openapi({ description: 'Which one.' }),
      force: z.enum(['true']).optional().openapi({ description: 'Take the new version although they differ.' }),
    }),
    responses: { 200: jsonAnswer(Certificate, 'The certificate') },
    async handle({ c, workspace, principal, requestId, query: { projection, force } }) {
      if (!services.journals.has(workspace)) {
        throw new IndelibleError('not-found', `workspace '${workspace}' holds nothing to rebuild from`);
      }
      const name = `${workspace}/${projection}`;
      if (running.has(name)) throw new IndelibleError('conflict', `a rebuild of ${projection} is under way`);
      running.add(name);
      const options = { by: principal.name, force: force === 'true' };
      // Also where whoever asked is gone: what is begun is carried out.
      const work = services.projections.rebuild(workspace, projection, options).finally(() => running.delete(name));
      return sendWhenDone(c, work, (error) => requestLog.problem(error, requestId));
    },
  });
}
