import { jsonBody, readCall, segment } from './calls.ts';
import type { AiKeyInfo, NewAiKey } from './compliance-types.ts';
import type { CallOptions, ReadOptions } from './options.ts';
import type { Call } from './transport.ts';
import type { Hold, KeyInfo, Role, WorkspaceInfo } from './types.ts';

type Send = <T>(call: Call) => Promise<T>;

/** Every role but operator belongs to a workspace. */
export type NewKey = { workspace?: string | undefined; role: Role; name: string };
/** `key` is shown this once; only its HMAC is kept. */
export type CreatedKey = KeyInfo & { key: string };

/** Keys, for operators. Making one is never repeated by itself: two tries could make two keys. */
export class KeysClient {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  async create(key: NewKey, { signal }: CallOptions = {}): Promise<CreatedKey> {
    return this.#send({ method: 'POST', path: '/keys', ...jsonBody(key), signal, repeatable: false });
  }

  async list({ signal }: CallOptions = {}): Promise<KeyInfo[]> {
    const { keys } = await this.#send<{ keys: KeyInfo[] }>({ method: 'GET', path: '/keys', signal });
    return keys;
  }

  async revoke(id: string, { signal }: CallOptions = {}): Promise<KeyInfo> {
    return this.#send({ method: 'DELETE', path: `/keys/${encodeURIComponent(id)}`, signal, repeatable: false });
  }
}

export class WorkspacesClient {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  async create(id: string, { signal }: CallOptions = {}): Promise<WorkspaceInfo> {
    return this.#send({ method: 'POST', path: '/workspaces', ...jsonBody({ id }), signal, repeatable: false });
  }

  async list({ signal }: CallOptions = {}): Promise<WorkspaceInfo[]> {
    const { workspaces } = await this.#send<{ workspaces: WorkspaceInfo[] }>({
      method: 'GET',
      path: '/workspaces',
      signal,
    });
    return workspaces;
  }

  /** The workspace takes no more appends and its keys are revoked; its events stay. */
  async close(id: string, { signal }: CallOptions = {}): Promise<WorkspaceInfo> {
    return this.#send({ method: 'DELETE', path: `/workspaces/${encodeURIComponent(id)}`, signal });
  }
}

/** Legal holds of the client's workspace, for operators. */
export class HoldsClient {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  /** While one stands nothing of the workspace is removed. The same again changes nothing. */
  async add(hold: { name: string; reason: string }, { signal }: CallOptions = {}): Promise<Hold> {
    return this.#send({ method: 'POST', path: '/journal/holds', ...jsonBody(hold), signal });
  }

  /** Released ones too. */
  async list(options: ReadOptions = {}): Promise<Hold[]> {
    const { holds } = await this.#send<{ holds: Hold[] }>(readCall('/journal/holds', options));
    return holds;
  }

  async remove(name: string, { signal }: CallOptions = {}): Promise<Hold> {
    return this.#send({ method: 'DELETE', path: `/journal/holds/${encodeURIComponent(name)}`, signal });
  }
}

/** Keys that workspaces bring for the model, for operators. The key itself never comes back. */
export class AiKeysClient {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Takes the place of the one before. */
  async set(workspace: string, key: NewAiKey, { signal }: CallOptions = {}): Promise<AiKeyInfo> {
    return this.#send({ method: 'PUT', path: aiKeyPath(workspace), ...jsonBody(key), signal });
  }

  async status(workspace: string, { signal }: CallOptions = {}): Promise<AiKeyInfo> {
    return this.#send({ method: 'GET', path: aiKeyPath(workspace), signal });
  }

  async remove(workspace: string, { signal }: CallOptions = {}): Promise<{ removed: boolean }> {
    return this.#send({ method: 'DELETE', path: aiKeyPath(workspace), signal, repeatable: false });
  }
}

function aiKeyPath(workspace: string): string {
  return `/workspaces/${segment(workspace)}/ai-key`;
}
