import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { z } from '@hono/zod-openapi';
import { IndelibleError } from '../../journal/index.ts';
import { type App, addRoute } from './route.ts';
import type { Services } from './services.ts';

/** Nothing from outside, no inline script. The viewer sets style attributes, hence the inline styles. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Indelible API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#page', deepLinking: true, validatorUrl: null });\n`;

const ASSETS: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

/** The page of the description, served from our own packages. A browser asks for the key as an HTTP password. */
export function addDocsRoutes(app: App, services: Services): void {
  const directory = join(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'), '..');
  const page = (body: string | Uint8Array<ArrayBuffer>, type: string) =>
    new Response(body, {
      headers: {
        'Content-Type': type,
        'Content-Security-Policy': POLICY,
        'Referrer-Policy': 'no-referrer',
        'Cache-Control': 'private, max-age=3600',
      },
    });

  addRoute(app, services, {
    method: 'get',
    path: '/docs',
    summary: 'This description as a page',
    scoped: false,
    query: z.object({}),
    responses: { 200: { description: 'HTML', content: { 'text/html': { schema: z.string() } } } },
    handle: () => page(PAGE, 'text/html; charset=utf-8'),
  });
  addRoute(app, services, {
    method: 'get',
    path: '/docs/{asset}',
    summary: 'Scripts and styles of the page',
    scoped: false,
    query: z.object({}),
    params: z.object({ asset: z.string() }),
    responses: { 200: { description: 'A file' } },
    async handle({ c }) {
      const name = c.req.param('asset') ?? '';
      if (name === 'start.js') return page(START, 'text/javascript; charset=utf-8');
      const type = Object.hasOwn(ASSETS, name) ? ASSETS[name] : undefined;
      if (type === undefined) throw new IndelibleError('not-found', 'no such file');
      return page(new Uint8Array(await readFile(join(directory, name))), type);
    },
  });
}
