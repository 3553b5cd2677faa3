import type { App } from './route.ts';

const ABOUT = `An append-only audit journal: every mutation an immutable event, provable by a stranger, open to every engine.

Send a key with every request but \`GET /health\`: \`Authorization: Bearer KEY\`, or HTTP Basic with the key as the password.
An operator names the workspace by \`X-Workspace: acme\` or \`?workspace=acme\`; every other key has one.
Errors are problem documents (RFC 9457). Unknown and repeated query parameters are refused.
\`x-roles\` says which keys may use a route.`;

/** The OpenAPI 3.1 document of every registered route. */
export function describeApi(app: App, version: string): object {
  const registry = app.openAPIRegistry;
  registry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  registry.registerComponent('securitySchemes', 'basic', { type: 'http', scheme: 'basic' });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Indelible', version, description: ABOUT, license: { name: 'Apache-2.0' } },
  });
}
