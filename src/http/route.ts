import type { HttpBindings } from '@hono/node-server';
import { type OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { type FieldError, IndelibleError, invalid, LIMITS } from '../../journal/index.ts';
import { authenticate, requireRole, workspaceOf } from './auth.ts';
import { type Permission, permissionOf } from './permissions.ts';
import { PROBLEM_RESPONSES } from './schemas.ts';
import type { Principal, Services } from './services.ts';
import { knownWorkspace } from './workspace-view.ts';

export type Env = {
  Bindings: HttpBindings;
  Variables: { requestId: string; route: string; principal: Principal; workspace: string };
};
export type App = OpenAPIHono<Env>;

/** What a handler is given: who asks, for which workspace (only where the route has one), and what, checked. */
export type Asked<Q> = {
  c: Context<Env>;
  principal: Principal;
  workspace: string;
  query: Q;
  /** What snapshots hold by now, where the request named it. */
  after: string | undefined;
  requestId: string;
};

export type RouteSpec<Q extends z.ZodObject> = {
  method: 'get' | 'post' | 'put' | 'delete';
  /** As the OpenAPI description and the permission table write it: `/journal/entity/{id}`. */
  path: string;
  /** Hono's pattern where it differs, and which of its paths are meant. */
  pattern?: string;
  applies?: (path: string) => boolean;
  /** true: the handler authenticates and checks the query by itself. */
  handlesAuth?: boolean;
  summary: string;
  description?: string;
  /** true: the request is about one workspace. */
  scoped: boolean;
  /** true: it answers from the journal of its workspace, as every scoped GET does, and takes ?after=. */
  reads?: true;
  query: Q;
  params?: z.ZodObject;
  /** Headers of its own, for the description: the handler reads and checks them. */
  headers?: z.ZodObject;
  body?: NonNullable<RouteConfig['request']>['body'];
  responses: RouteConfig['responses'];
  handle(asked: Asked<z.infer<Q>>): Response | Promise<Response>;
};

/** What every route needs. */
type RouteServices = Pick<Services, 'keys' | 'journals'>;

const WORKSPACE_QUERY = z.string().optional().openapi({
  description: 'The workspace, where an operator asks; the X-Workspace header says the same.',
  example: 'acme',
});

/** A seq, or where an event stands in the queue: partition and id in its stream. */
const AFTER = /^\d{1,16}(?::\d{1,20}-\d{1,20})?$/;

const AFTER_QUERY = z
  .string()
  .regex(AFTER, 'must be a seq, as a receipt says it, or the position of a queued append')
  .optional()
  .openapi({
    description:
      'Answers once it sees the event of this seq, or a queued append by its `position`; 503 where that takes longer than some seconds. To read your own writes in a cluster.',
    example: '17',
  });

const WORKSPACE_HEADER = z.object({
  'X-Workspace': z
    .string()
    .optional()
    .openapi({ description: 'The workspace, where an operator asks.', example: 'acme' }),
});

/**
 * Adds a route: its description, who may use it and its handler, in one step, so that none of them can be forgotten.
 * @throws Error where the permission table has no entry for it.
 */
export function addRoute<Q extends z.ZodObject>(app: App, services: RouteServices, spec: RouteSpec<Q>): void {
  const permission = permissionOf(spec.method, spec.path);
  const query = queryOf(spec);
  app.openAPIRegistry.registerPath({
    method: spec.method,
    path: spec.path,
    operationId: operationId(spec.method, spec.path),
    tags: [tagOf(spec.path)],
    summary: spec.summary,
    ...(spec.description === undefined ? {} : { description: spec.description }),
    security: permission === 'open' ? [] : [{ bearer: [] }, { basic: [] }],
    request: {
      query,
      ...headersOf(spec),
      ...(spec.params === undefined ? {} : { params: spec.params }),
      ...(spec.body === undefined ? {} : { body: spec.body }),
    },
    responses: { ...spec.responses, ...PROBLEM_RESPONSES },
    ...{ 'x-roles': rolesText(permission) },
  });
  const pattern = spec.pattern ?? spec.path.replaceAll(/\{(\w+)\}/g, ':$1');
  app.on(spec.method.toUpperCase(), pattern, async (c, next) => {
    if (spec.applies !== undefined && !spec.applies(targetPath(c))) return next();
    c.set('route', spec.path);
    const requestId = c.get('requestId');
    if (permission === 'open' || spec.handlesAuth)
      return spec.handle({ c, requestId, query: {} } as unknown as Asked<z.infer<Q>>);
    const principal = authenticate(services.keys, c.env.incoming);
    c.set('principal', principal);
    requireRole(permission, principal);
    const given = searchParams(c.env.incoming.url ?? '');
    const named = given.get('workspace') ?? undefined;
    const workspace = spec.scoped ? workspaceOf(principal, c.req.header('X-Workspace'), named) : '';
    c.set('workspace', workspace);
    const { after, ...asked } = parseQuery(query, given) as z.infer<Q> & { after?: string };
    if (after !== undefined) await waitFor(services, workspace, after);
    return spec.handle({ c, principal, workspace, query: asked as z.infer<Q>, after, requestId });
  });
}

function queryOf({ method, scoped, reads, query }: RouteSpec<z.ZodObject>): z.ZodObject {
  if (!scoped) return query.strict();
  const after = reads || method === 'get' ? { after: AFTER_QUERY } : {};
  return query.extend({ ...after, workspace: WORKSPACE_QUERY }).strict();
}

/** @throws IndelibleError not-found; as Journals.reached does */
async function waitFor(services: RouteServices, workspace: string, after: string): Promise<void> {
  // In a cluster another process may have made the workspace just now: whoever waits for its events sees it then.
  if (services.journals.queue === undefined && !knownWorkspace(services, workspace)) {
    throw new IndelibleError('unavailable', 'nothing is recorded here yet', { retryAfterS: 1 });
  }
  await services.journals.reached(workspace, after);
}

/** `get /journal/entity/{id}/state` → `getJournalEntityIdState`: what a generated client calls it. */
function operationId(method: string, path: string): string {
  const words = path.split(/[^a-z]+/i).filter((word) => word !== '');
  return method + words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('');
}

/** Groups of the description's page. */
function tagOf(path: string): string {
  const first = path.split('/')[1] ?? '';
  return ['journal', 'compliance', 'keys', 'workspaces'].includes(first) ? first : 'service';
}

function headersOf({ scoped, headers }: { scoped: boolean; headers?: z.ZodObject }): { headers?: z.ZodObject } {
  const all = scoped ? WORKSPACE_HEADER.extend(headers?.shape ?? {}) : headers;
  return all === undefined ? {} : { headers: all };
}

/** The path as it was sent: an encoded slash is still to be told from a plain one. */
export function targetPath(c: Context<Env>): string {
  const target = c.env.incoming.url ?? '/';
  const path = target.startsWith('/') ? target : new URL(target).pathname;
  const mark = path.indexOf('?');
  return mark === -1 ? path : path.slice(0, mark);
}

/** An id that is the rest of the path. @throws IndelibleError invalid */
export function decodedId(text: string, charsMax: number): string {
  let id: string;
  try {
    id = decodeURIComponent(text);
  } catch {
    throw invalid([{ pointer: '/id', message: 'is not valid percent-encoded UTF-8' }]);
  }
  if (id === '') throw invalid([{ pointer: '/id', message: 'is missing from the path' }]);
  if (id.length > charsMax) throw invalid([{ pointer: '/id', message: `is longer than ${charsMax} characters` }]);
  if (id.includes('\0')) throw invalid([{ pointer: '/id', message: 'holds a NUL character' }]);
  return id;
}

function rolesText(permission: Permission): string[] {
  if (permission === 'open' || permission === 'any') return [permission];
  return permission === 'operator' ? ['operator'] : [...permission, 'operator'];
}

/** The query of a request target. */
export function searchParams(target: string): URLSearchParams {
  const mark = target.indexOf('?');
  return new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
}

/** @throws IndelibleError invalid: an unknown or repeated parameter, or a value that the schema refuses. */
export function parseQuery<Q extends z.ZodObject>(schema: Q, given: URLSearchParams): z.infer<Q> {
  const errors: FieldError[] = [];
  const known = Object.keys(schema.shape);
  const values: Record<string, string> = {};
  for (const name of new Set(given.keys())) {
    const pointer = pointerOf([name]);
    const [value = '', ...more] = given.getAll(name);
    if (!known.includes(name)) errors.push({ pointer, message: `is not known here: ${takes(known)}` });
    else if (more.length > 0) errors.push({ pointer, message: 'is given more than once' });
    else values[name] = value;
  }
  const result = schema.safeParse(values);
  if (!result.success) errors.push(...zodErrors(result.error));
  if (errors.length > 0) throw invalid(errors.slice(0, LIMITS.errorsListedMax));
  return result.data as z.infer<Q>;
}

function takes(known: readonly string[]): string {
  return known.length === 0 ? 'this route takes no parameters' : `this route takes ${known.join(', ')}`;
}

/** A body of JSON against its schema. @throws IndelibleError invalid */
export function parseBody<S extends z.ZodType>(schema: S, body: unknown): z.infer<S> {
  const result = schema.safeParse(body);
  if (!result.success) throw invalid(zodErrors(result.error));
  return result.data;
}

function zodErrors(error: z.ZodError): FieldError[] {
  return error.issues.flatMap((issue): FieldError[] => {
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointerOf(issue.path), message: issue.message }];
    return issue.keys.map((key) => ({ pointer: pointerOf([...issue.path, key]), message: 'is not known here' }));
  });
}

function pointerOf(path: readonly PropertyKey[]): string {
  const tokens = path.map((token) =>
    String(token).slice(0, 64).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1'),
  );
  return tokens.map((token) => `/${token}`).join('');
}
