import { z } from '@hono/zod-openapi';
import { IndelibleError } from '../../journal/index.ts';
import { jsonBody } from './json-body.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer } from './schemas.ts';
import type { AiKeyView, Services } from './services.ts';

const PATH = '/workspaces/{id}/ai-key';

const AiKeyBody = z
  .strictObject({
    provider: z.enum(['gemini']),
    key: z.string().openapi({ description: 'Kept encrypted; no answer, log or event ever holds it.' }),
    model: z.string().optional().openapi({ description: "Default: the service's." }),
    embedding_model: z.string().optional().openapi({ description: "Default: the service's." }),
  })
  .openapi('NewAiKey');

const AiKeyAnswer = z
  .object({
    provider: z.enum(['gemini']),
    model: z.string().nullable(),
    embedding_model: z.string().nullable(),
    set_at: z.string(),
    set_by: z.string(),
    usable: z.boolean().openapi({ description: 'false: it is lost, or of another server secret. Set it again.' }),
  })
  .openapi('AiKey');

/** Keys for the model that workspaces bring, for the operator. The key itself goes in and never comes out. */
export function addAiKeyRoutes(app: App, services: Services): void {
  const spec = { path: PATH, scoped: false, query: z.object({}), params: z.object({ id: z.string() }) } as const;
  addRoute(app, services, {
    ...spec,
    method: 'put',
    summary: "Set a workspace's AI key",
    description: 'It takes the place of the one before, and serves the signals that are judged from then on.',
    body: { required: true, content: { 'application/json': { schema: AiKeyBody } } },
    responses: { 200: jsonAnswer(AiKeyAnswer, 'Set') },
    async handle({ c, principal }) {
      const id = knownId(services, c.req.param('id'));
      const { embedding_model: embeddingModel, ...wanted } = await jsonBody({ c }, AiKeyBody);
      return c.json(viewOf(await services.aiKeys.set(id, { ...wanted, embeddingModel }, principal)));
    },
  });
  addRoute(app, services, {
    ...spec,
    method: 'get',
    summary: "What is known of a workspace's AI key",
    responses: { 200: jsonAnswer(AiKeyAnswer, 'Everything but the key') },
    async handle({ c }) {
      const id = knownId(services, c.req.param('id'));
      const status = await services.aiKeys.status(id);
      if (status === undefined) throw new IndelibleError('not-found', `'${id}' has no AI key of its own`);
      return c.json(viewOf(status));
    },
  });
  addRoute(app, services, {
    ...spec,
    method: 'delete',
    summary: "Remove a workspace's AI key",
    description: "The service's own key serves the workspace then, where it has one; else the rules judge.",
    responses: { 200: jsonAnswer(z.object({ removed: z.boolean() }), 'Removed') },
    async handle({ c, principal }) {
      await services.aiKeys.remove(knownId(services, c.req.param('id')), principal);
      return c.json({ removed: true });
    },
  });
}

/** Member by member: what a status may come to hold is not for the wire by itself. */
function viewOf({ provider, model, embedding_model, set_at, set_by, usable }: AiKeyView): AiKeyView {
  return { provider, model, embedding_model, set_at, set_by, usable };
}

function knownId(services: Services, id = ''): string {
  if (services.keys.workspace(id) === undefined) throw new IndelibleError('not-found', 'there is no such workspace');
  return id;
}
