import type { IncomingMessage } from 'node:http';
import { IndelibleError, invalid, WORKSPACE_PATTERN } from '../../journal/index.ts';
import { allows, type Permission } from './permissions.ts';
import type { KeyService, Principal } from './services.ts';

const KEY_CHARS_MAX = 512;

/**
 * The key of the request: `Authorization: Bearer KEY`, or HTTP Basic with the key as the password, which lets a browser
 * ask for it. @throws IndelibleError unauthorized
 */
export function authenticate(keys: KeyService, request: IncomingMessage): Principal {
  const header = request.headers.authorization;
  if (header === undefined) throw unauthorized('send a key: Authorization: Bearer KEY');
  const keyText = keyOf(header);
  const principal = keyText === undefined ? undefined : keys.authenticate(keyText);
  if (principal === undefined) throw unauthorized('this key is not known here, or was revoked');
  // A browser that remembers a password sends it along with a request that another site made it send.
  if (!header.startsWith('Bearer ') && isForeign(request)) {
    throw new IndelibleError(
      'forbidden',
      'a request from another site cannot change anything with a remembered password',
    );
  }
  return principal;
}

function unauthorized(message: string): IndelibleError {
  return new IndelibleError('unauthorized', message);
}

function keyOf(header: string): string | undefined {
  if (header.length > KEY_CHARS_MAX) return undefined;
  if (header.startsWith('Bearer ')) return header.slice(7);
  const match = /^(Bearer|Basic) +(\S+) *$/i.exec(header);
  if (match === null) return undefined;
  const [, scheme, credentials] = match as unknown as [string, string, string];
  if (scheme.toLowerCase() === 'bearer') return credentials;
  const text = Buffer.from(credentials, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : text.slice(colon + 1);
}

function isForeign(request: IncomingMessage): boolean {
  if (request.method === 'GET' || request.method === 'HEAD') return false;
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const origin = request.headers.origin;
  return origin !== undefined && origin.replace(/^https?:\/\//, '') !== request.headers.host;
}

/** @throws IndelibleError forbidden */
export function requireRole(permission: Permission, principal: Principal): void {
  if (!allows(permission, principal.role)) {
    throw new IndelibleError('forbidden', `a ${principal.role} key does not allow this: ask the operator for another`);
  }
}

/**
 * The workspace of the request: the key's own, or for an operator the one named by X-Workspace or ?workspace=.
 * @throws IndelibleError invalid where none or two are named, forbidden where a key names another than its own.
 */
export function workspaceOf(principal: Principal, header: string | undefined, query: string | undefined): string {
  if (header !== undefined && query !== undefined && header !== query) {
    throw invalid([{ pointer: '/workspace', message: 'differs from the X-Workspace header: name one workspace' }]);
  }
  const named = header ?? query;
  if (principal.workspace !== null) {
    if (named !== undefined && named !== principal.workspace) {
      throw new IndelibleError('forbidden', 'this key belongs to another workspace');
    }
    return principal.workspace;
  }
  if (named === undefined) {
    throw invalid([
      { pointer: '/workspace', message: 'is missing: an operator names it by X-Workspace or ?workspace=' },
    ]);
  }
  if (!WORKSPACE_PATTERN.test(named)) {
    throw invalid([{ pointer: '/workspace', message: `must match ${WORKSPACE_PATTERN.source}` }]);
  }
  return named;
}
