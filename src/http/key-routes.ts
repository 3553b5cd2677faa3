import { z } from '@hono/zod-openapi';
import { EVENT_FIELDS, IndelibleError, invalid } from '../../journal/index.ts';
import { type KeyRecord, ROLES, type WorkspaceRecord } from '../../projections/index.ts';
import { jsonBody } from './json-body.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer, WorkspaceId } from './schemas.ts';
import type { Services } from './services.ts';

const KeyBody = z
  .strictObject({
    workspace: WorkspaceId.optional(),
    role: z.enum(ROLES),
    name: z
      .string()
      .min(1, 'is empty')
      .max(EVENT_FIELDS.actor_type.charsMax)
      .regex(/^[^\p{C}]+$/u, 'holds a control character'),
  })
  .openapi('NewKey');

const KeyShape = {
  id: z.string(),
  workspace: z.string().nullable(),
  role: z.enum(ROLES),
  name: z.string(),
  created_at: z.string(),
  created_by: z.string(),
  revoked_at: z.string().nullable(),
};
const KeyAnswer = z.object(KeyShape).openapi('Key');
const NewKeyAnswer = z
  .object({ key: z.string().openapi({ description: 'The key itself: shown this once, kept nowhere.' }), ...KeyShape })
  .openapi('KeyOnce');
const WorkspaceAnswer = z
  .object({
    id: z.string(),
    created_at: z.string(),
    created_by: z.string(),
    closed_at: z.string().nullable(),
  })
  .openapi('Workspace');

/** Keys and workspaces, for the operator. Every change is an event of the service's own journal. */
export function addKeyRoutes(app: App, services: Services): void {
  addListOfKeys(app, services);
  addKeyChanges(app, services);
  addWorkspaces(app, services);
}

/** Everything but the HMAC. */
function keyView({ hmac: _hmac, ...rest }: KeyRecord): Omit<KeyRecord, 'hmac'> {
  return rest;
}

function addListOfKeys(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/keys',
    summary: 'The keys, revoked ones too',
    scoped: false,
    query: z.object({ workspace: WorkspaceId.optional() }),
    responses: { 200: jsonAnswer(z.object({ keys: z.array(KeyAnswer) }), 'Keys') },
    handle({ c, query }) {
      const keys = services.keys
        .keys()
        .filter((key) => query.workspace === undefined || key.workspace === query.workspace);
      return c.json({ keys: keys.map(keyView) });
    },
  });
}

function addKeyChanges(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'post',
    path: '/keys',
    summary: 'Make a key',
    description: 'A workspace belongs to every role but operator.',
    scoped: false,
    query: z.object({}),
    body: { required: true, content: { 'application/json': { schema: KeyBody } } },
    responses: { 201: jsonAnswer(NewKeyAnswer, 'Made; the key is shown this once') },
    async handle({ c, principal }) {
      const { role, name, workspace = null } = await jsonBody({ c }, KeyBody);
      if (role === 'operator' && workspace !== null) {
        throw invalid([{ pointer: '/workspace', message: 'does not go with role operator: leave it out' }]);
      }
      if (role !== 'operator' && workspace === null) {
        throw invalid([{ pointer: '/workspace', message: `is missing: a ${role} key belongs to a workspace` }]);
      }
      const { keyText, record } = await services.keys.createKey({ workspace, role, name }, principal);
      return c.json({ key: keyText, ...keyView(record) }, 201);
    },
  });
  addRoute(app, services, {
    method: 'delete',
    path: '/keys/{id}',
    summary: 'Revoke a key',
    scoped: false,
    query: z.object({}),
    params: z.object({ id: z.string() }),
    responses: { 200: jsonAnswer(KeyAnswer, 'Revoked; doing it again changes nothing') },
    async handle({ c, principal }) {
      return c.json(keyView(await services.keys.revokeKey(c.req.param('id') ?? '', principal)));
    },
  });
}

function addWorkspaces(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/workspaces',
    summary: 'The workspaces',
    scoped: false,
    query: z.object({}),
    responses: { 200: jsonAnswer(z.object({ workspaces: z.array(WorkspaceAnswer) }), 'Workspaces') },
    handle: ({ c }) => c.json({ workspaces: services.keys.workspaces() as WorkspaceRecord[] }),
  });
  addRoute(app, services, {
    method: 'post',
    path: '/workspaces',
    summary: 'Make a workspace',
    description: "An operator's first append to a workspace makes it too.",
    scoped: false,
    query: z.object({}),
    body: { required: true, content: { 'application/json': { schema: z.strictObject({ id: WorkspaceId }) } } },
    responses: { 201: jsonAnswer(WorkspaceAnswer, 'Made, or there already') },
    async handle({ c, principal }) {
      const { id } = await jsonBody({ c }, z.strictObject({ id: WorkspaceId }));
      return c.json(await services.keys.createWorkspace(id, principal), 201);
    },
  });
  addRoute(app, services, {
    method: 'delete',
    path: '/workspaces/{id}',
    summary: 'Close a workspace',
    description:
      'A journal is for ever: nothing is deleted. The workspace takes no more appends and its keys are revoked; the operator still reads it.',
    scoped: false,
    query: z.object({}),
    params: z.object({ id: z.string() }),
    responses: { 200: jsonAnswer(WorkspaceAnswer, 'Closed; doing it again changes nothing') },
    async handle({ c, principal }) {
      const id = c.req.param('id') ?? '';
      if (services.keys.workspace(id) === undefined)
        throw new IndelibleError('not-found', 'there is no such workspace');
      return c.json(await services.keys.closeWorkspace(id, principal));
    },
  });
}
