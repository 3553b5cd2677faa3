import { OpenAPIHono } from '@hono/zod-openapi';
import { IndelibleError } from '../../journal/index.ts';
import { addAiKeyRoutes } from './ai-key-routes.ts';
import { APPEND_PATH, AppendHandler } from './append.ts';
import { addAppendRoutes } from './append-routes.ts';
import { authenticate } from './auth.ts';
import { addAxiomRoutes } from './axiom-routes.ts';
import { BodyBudget } from './body.ts';
import { addClusterRoutes } from './cluster-routes.ts';
import { addCompactRoute } from './compact-route.ts';
import { addComplianceExport } from './compliance-export.ts';
import { addComplianceRebuild } from './compliance-rebuild.ts';
import { addComplianceRoutes } from './compliance-routes.ts';
import { addComplianceStats } from './compliance-stats.ts';
import { addDocsRoutes } from './docs.ts';
import { addEntityRoutes } from './entity-routes.ts';
import { addEventRoutes } from './event-routes.ts';
import { addIngestRoute } from './ingest-route.ts';
import { addKeyRoutes } from './key-routes.ts';
import { MethodTable } from './method-table.ts';
import { EdgeError, problemResponse } from './problem.ts';
import { addQueryRoutes } from './query-routes.ts';
import { RequestLog } from './request-log.ts';
import { addRetentionRoutes } from './retention-routes.ts';
import type { App, Env } from './route.ts';
import type { Services, SystemServices } from './services.ts';
import { addSystemRoutes } from './system-routes.ts';
import { addTailRoute } from './tail.ts';

/** The HTTP application: `app` for every route, and `append`, the hot one, on node's own objects, where it is served. */
export type Edge = { app: App; append: AppendHandler | undefined; requestLog: RequestLog };

/** What a process serves: the whole API, or, in a role without it, only what is about the process itself. */
export type Served = { services: Services; only?: undefined } | { services: SystemServices; only: 'system' };

/**
 * Builds the routes of the service.
 * @throws Error where a route has no permission.
 */
export function createApp(served: Served): Edge {
  const app: App = new OpenAPIHono<Env>();
  const requestLog = new RequestLog(served.services);
  observeRequests(app, requestLog);
  addSystemRoutes(app, served.services, served.only === undefined);
  const append = served.only === undefined ? addApi(app, served.services, requestLog) : undefined;
  answerTheRest(app, served, requestLog);
  return { app, append, requestLog };
}

function addApi(app: App, services: Services, requestLog: RequestLog): AppendHandler {
  const budget = new BodyBudget();
  const append = new AppendHandler(services, requestLog, budget);
  addDocsRoutes(app, services);
  addAppendRoutes(app, services, append);
  addAxiomRoutes(app, services, budget);
  addComplianceRoutes(app, services);
  addComplianceExport(app, services, requestLog);
  addComplianceStats(app, services);
  addComplianceRebuild(app, services, requestLog);
  addCompactRoute(app, services, requestLog);
  addRetentionRoutes(app, services, requestLog);
  addIngestRoute(app, services, requestLog);
  addEntityRoutes(app, services);
  addEventRoutes(app, services);
  addTailRoute(app, services, requestLog);
  addQueryRoutes(app, services, requestLog);
  addKeyRoutes(app, services);
  addAiKeyRoutes(app, services);
  addClusterRoutes(app, services);
  return append;
}

function observeRequests(app: App, requestLog: RequestLog): void {
  app.use('*', async (c, next) => {
    const { incoming, outgoing } = c.env;
    const observed = requestLog.begin(incoming, c.req.method, 'unmatched');
    c.set('requestId', observed.requestId);
    outgoing.setHeader('X-Request-Id', observed.requestId);
    outgoing.setHeader('X-Content-Type-Options', 'nosniff');
    outgoing.setHeader('Cache-Control', 'no-store');
    outgoing.once('close', () => {
      observed.route = c.get('route') ?? observed.route;
      // The append handler writes a line of its own.
      if (observed.route === APPEND_PATH) return;
      observed.principal = c.get('principal');
      observed.workspace = c.get('workspace') || undefined;
      requestLog.end(observed, outgoing.statusCode, outgoing.writableFinished ? 'done' : 'aborted');
    });
    await next();
  });
}

function answerTheRest(app: App, { services, only }: Served, requestLog: RequestLog): void {
  const methods = new MethodTable(servedRoutes(app));
  const what = only === undefined ? 'no such route' : 'this role serves no API';
  app.onError((error, c) => {
    return problemResponse(requestLog.problem(error, c.get('requestId')));
  });
  app.notFound((c) => {
    try {
      authenticate(services.keys, c.env.incoming);
      const allowed = methods.allowed(c.req.path);
      const error =
        allowed.length > 0
          ? new EdgeError('method-not-allowed', `this route takes ${allowed.join(', ')}`, { Allow: allowed.join(', ') })
          : new IndelibleError('not-found', `${what}: GET /openapi.json lists what there is`);
      throw error;
    } catch (error) {
      return problemResponse(requestLog.problem(error, c.get('requestId')));
    }
  });
}

/** `GET /journal/stats` and so on. */
function servedRoutes(app: App): string[] {
  return app.openAPIRegistry.definitions.flatMap((definition) =>
    definition.type === 'route' ? [`${definition.route.method.toUpperCase()} ${definition.route.path}`] : [],
  );
}
