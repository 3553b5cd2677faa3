import { z } from '@hono/zod-openapi';
import { NO_COMPACTION } from '../../journal/index.ts';
import { addRoute, type App } from './route.ts';
import { CompactionAnswer, jsonAnswer } from './schemas.ts';
import type { Services } from './services.ts';
import { knownWorkspace } from './workspace-view.ts';

/** Compaction by hand; it runs by itself unless that is turned off. */
export function addCompactRoute(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'post',
    path: '/journal/compact',
    summary: 'Compact now',
    description:
      'Merges segments into sorted runs where enough of them are alike, deletes files that left the journal longer than the grace period ago, and answers when that is done. Doing it again does nothing.',
    scoped: true,
    query: z.object({}),
    responses: { 200: jsonAnswer(CompactionAnswer, 'Compacted') },
    async handle({ c, workspace }) {
      const isRecorded = knownWorkspace(services, workspace);
      return c.json(isRecorded ? await services.journals.compact(workspace) : NO_COMPACTION);
    },
  });
}
