import { z } from '@hono/zod-openapi';
import { describeApi } from './openapi.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer } from './schemas.ts';
import type { Services } from './services.ts';

const NOTHING = z.object({});

/** Health, readiness, metrics, the description and the front door. */
export function addSystemRoutes(app: App, services: Services): void {
  addRoute(app, services, {
    method: 'get',
    path: '/health',
    summary: 'The process is alive',
    scoped: false,
    query: NOTHING,
    responses: { 200: jsonAnswer(z.object({ status: z.literal('ok') }), 'Alive') },
    handle: ({ c }) => c.json({ status: 'ok' }),
  });
  addRoute(app, services, {
    method: 'get',
    path: '/ready',
    summary: 'The service takes requests',
    scoped: false,
    query: NOTHING,
    responses: {
      200: jsonAnswer(z.object({ status: z.literal('ready') }), 'Ready'),
      503: jsonAnswer(z.object({ status: z.literal('stopping') }), 'Stopping'),
    },
    handle: ({ c }) => (services.lifecycle.ready ? c.json({ status: 'ready' }) : c.json({ status: 'stopping' }, 503)),
  });
  addRoute(app, services, {
    method: 'get',
    path: '/metrics',
    summary: 'Measures of the process, for Prometheus',
    scoped: false,
    query: NOTHING,
    responses: { 200: { description: 'Prometheus text', content: { 'text/plain': { schema: z.string() } } } },
    async handle({ c }) {
      const { contentType, text } = await services.metrics.render();
      return c.body(text, 200, { 'Content-Type': contentType });
    },
  });
  let description: string | undefined;
  addRoute(app, services, {
    method: 'get',
    path: '/openapi.json',
    summary: 'This description',
    scoped: false,
    query: NOTHING,
    responses: { 200: jsonAnswer(z.object({}), 'OpenAPI 3.1') },
    handle({ c }) {
      description ??= JSON.stringify(describeApi(app, services.config.version));
      return c.body(description, 200, { 'Content-Type': 'application/json' });
    },
  });
  addRoute(app, services, {
    method: 'get',
    path: '/',
    summary: 'Where to go from here',
    scoped: false,
    query: NOTHING,
    responses: { 200: jsonAnswer(z.object({}), 'Links') },
    handle: ({ c }) =>
      c.json({
        service: 'indelible',
        version: services.config.version,
        links: { docs: '/docs', openapi: '/openapi.json', health: '/health', ready: '/ready', metrics: '/metrics' },
      }),
  });
}
