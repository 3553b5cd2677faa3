import { z } from '@hono/zod-openapi';
import { NO_COMPACTION } from '../../journal/index.ts';
import type { RequestLog } from './request-log.ts';
import { addRoute, type App } from './route.ts';
import { CompactionAnswer, jsonAnswer } from './schemas.ts';
import type { Services } from './services.ts';
import { sendWhenDone } from './stream-out.ts';
import { knownWorkspace } from './workspace-view.ts';

/** Compaction by hand; it runs by itself unless that is turned off. */
export function addCompactRoute(app: App, services: Services, requestLog: RequestLog): void {
  addRoute(app, services, {
    method: 'post',
    path: '/journal/compact',
    summary: 'Compact now',
    description:
      'Merges segments into sorted runs where enough of them are alike, deletes files that left the journal longer than the grace period ago, and answers when that is done. Doing it again does nothing.',
    scoped: true,
    query: z.object({}),
    responses: { 200: jsonAnswer(CompactionAnswer, 'Compacted') },
    async handle({ c, workspace, requestId }) {
      if (!knownWorkspace(services, workspace)) return c.json(NO_COMPACTION);
      return sendWhenDone(c, services.journals.compact(workspace), (error) => requestLog.problem(error, requestId));
    },
  });
}
