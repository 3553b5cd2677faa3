import { z } from '@hono/zod-openapi';
import { describeApi } from './openapi.ts';
import { type App, addRoute } from './route.ts';
import { jsonAnswer } from './schemas.ts';
import type { Readiness, SystemServices } from './services.ts';

const NOTHING = z.object({});

const PARTS = z
  .record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() }))
  .openapi({ description: 'What this process needs, by name.', example: { redis: { ok: true } } });

/** Health, readiness, metrics, the description and the front door, with a link to the page where there is one. */
export function addSystemRoutes(app: App, services: SystemServices, hasDocs: boolean): void {
  addReadyRoute(app, services);
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
        links: {
          ...(hasDocs ? { docs: '/docs' } : {}),
          openapi: '/openapi.json',
          health: '/health',
          ready: '/ready',
          metrics: '/metrics',
        },
      }),
  });
}

function addReadyRoute(app: App, services: SystemServices): void {
  const answer = (status: z.ZodType) => z.object({ status, parts: PARTS });
  addRoute(app, services, {
    method: 'get',
    path: '/ready',
    summary: 'The service takes requests',
    description: 'With what it needs, part by part, and why a part does not work.',
    scoped: false,
    query: NOTHING,
    responses: {
      200: jsonAnswer(answer(z.literal('ready')), 'Ready'),
      503: jsonAnswer(answer(z.enum(['stopping', 'not-ready'])), 'Stopping, or something that it needs is away'),
    },
    handle({ c }) {
      const { ready, parts } = services.readiness();
      const shown = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, withoutCredentials(part)]));
      if (!services.lifecycle.ready) return c.json({ status: 'stopping', parts: shown }, 503);
      return ready ? c.json({ status: 'ready', parts: shown }) : c.json({ status: 'not-ready', parts: shown }, 503);
    },
  });
}

type Part = Readiness['parts'][string];

/** An error of a driver may quote the address it was given, with its name and password. */
function withoutCredentials({ ok, detail }: Part): Part {
  return detail === undefined ? { ok } : { ok, detail: detail.replaceAll(/\/\/\S*@/g, '//') };
}
