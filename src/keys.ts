import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  IndelibleError,
  isCode,
  type Journals,
  makeDirDurable,
  type Random,
  writeFileDurable,
} from '../journal/index.ts';
import {
  EMPTY_KEY_TABLE,
  foldKeys,
  type KeyRecord,
  type KeyTable,
  type Role,
  type SystemEvent,
  type WorkspaceRecord,
} from '../projections/index.ts';
import type { KeyService, Principal } from './http/index.ts';
import { SERVICE, SystemFollower } from './system-journal.ts';

const SECRET_BYTES = 32;
const SECRET_PATTERN = /^[0-9a-f]{64}$/;
const KEY_PATTERN = /^ind_[a-z2-7]{12}_[A-Za-z0-9_-]{43}$/;
const KEY_CHARS = 60;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/**
 * The server's secret: the configured one, which processes share that serve the same keys, or else `<dataDir>/secret` (mode
 * 0600), made durably on the first start; 64 hex characters. Whoever has it and the `_system` journal can test guesses of
 * a key, not read one.
 * @throws Error where it is damaged: with another secret every key would stop working.
 */
export async function loadSecret(dataDir: string, random: Random, configured?: string): Promise<Buffer> {
  if (configured !== undefined) {
    if (!SECRET_PATTERN.test(configured)) throw new Error('the configured secret is not 64 hex characters (0-9, a-f)');
    return Buffer.from(configured, 'hex');
  }
  const path = join(dataDir, 'secret');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    await makeDirDurable(dataDir);
    const secret = Buffer.from(random.bytes(SECRET_BYTES));
    await writeFileDurable(path, Buffer.from(`${secret.toString('hex')}\n`), 0o600);
    return secret;
  }
  if (!SECRET_PATTERN.test(text.replace(/\n$/, ''))) {
    throw new Error(`${path} is damaged: restore it from a backup, or remove it and make new keys`);
  }
  return Buffer.from(text.trim(), 'hex');
}

/** A secret for cursors, derived so that a cursor tells nothing about keys. */
export function cursorSecretOf(secret: Uint8Array): Uint8Array {
  return createHmac('sha256', secret).update('indelible cursors').digest();
}

/** A key's text, in memory only. */
type KnownKey = { text: Buffer; principal: Principal };

export type KeysOptions = {
  journals: Journals;
  secret: Uint8Array;
  random: Random;
  /** A key text from the configuration that is good as an operator's; never stored. */
  operatorKey?: string | undefined;
  /** Changes of other processes could not be read: they count here only once that succeeds. */
  onFollowFailed?: ((error: unknown) => void) | undefined;
};

/** The keys and workspaces of the service: every change is an event of `_system`, the table is folded from them. */
export class Keys implements KeyService {
  readonly #secret: Uint8Array;
  readonly #random: Random;
  readonly #configured: KnownKey | undefined;
  readonly #system: SystemFollower;
  #table: KeyTable = EMPTY_KEY_TABLE;
  /** Keys in use that passed the HMAC, by key id: a hash for each request would cost more than all the rest of it here. */
  readonly #passed = new Map<string, KnownKey>();

  private constructor({ journals, secret, random, operatorKey, onFollowFailed }: KeysOptions) {
    this.#secret = secret;
    this.#random = random;
    this.#system = new SystemFollower({
      ...{ journals, types: ['key', 'workspace'], onFailed: onFollowFailed },
      fold: (events) => this.#fold(events),
    });
    if (operatorKey !== undefined) {
      const principal: Principal = { keyId: 'configured', name: 'operator', role: 'operator', workspace: null };
      this.#configured = { principal, text: Buffer.from(operatorKey) };
    }
  }

  /** Folds the table from the `_system` journal, and follows that. */
  static async open(options: KeysOptions): Promise<Keys> {
    const keys = new Keys(options);
    await keys.#system.start();
    return keys;
  }

  /** Hears no more of what other processes change. */
  close(): void {
    this.#system.close();
  }

  /**
   * Makes an operator key if there is none in force and the configuration names none.
   * @returns the text of the new key, which is kept nowhere: show it once.
   */
  async ensureOperatorKey(): Promise<string | undefined> {
    if (this.#configured !== undefined) return undefined;
    await this.#system.catchUp();
    if (this.keys().some((key) => key.role === 'operator' && key.revoked_at === null)) return undefined;
    const made = await this.createKey({ workspace: null, role: 'operator', name: 'operator' }, SERVICE);
    return made.keyText;
  }

  authenticate(keyText: string): Principal | undefined {
    const text = Buffer.from(keyText);
    if (this.#configured !== undefined && isSame(text, this.#configured.text)) return this.#configured.principal;
    if (keyText.length !== KEY_CHARS) return undefined;
    const id = keyText.slice(4, 16);
    const passed = this.#passed.get(id);
    if (passed !== undefined && isSame(text, passed.text)) return passed.principal;
    return this.#authenticateSlowly(keyText, id, text);
  }

  #authenticateSlowly(keyText: string, id: string, text: Buffer): Principal | undefined {
    if (!KEY_PATTERN.test(keyText)) return undefined;
    const record = this.#table.keys.get(id);
    // An unknown id costs the same as a wrong secret.
    const expected = Buffer.from(record?.hmac ?? '0'.repeat(64), 'hex');
    const same = timingSafeEqual(this.#hmac(keyText), expected);
    if (!same || record === undefined || record.revoked_at !== null) return undefined;
    const principal = { keyId: id, name: record.name, role: record.role, workspace: record.workspace };
    this.#passed.set(id, { text, principal });
    return principal;
  }

  keys(): readonly KeyRecord[] {
    return [...this.#table.keys.values()];
  }

  createKey(wanted: { workspace: string | null; role: Role; name: string }, by: Principal) {
    return this.#system.change(async () => {
      if (wanted.workspace !== null) {
        const workspace = this.#existingWorkspace(wanted.workspace);
        if (workspace.closed_at !== null) throw isClosed(workspace.id);
      }
      const id = Array.from(this.#random.bytes(12), (byte) => BASE32[byte & 31]).join('');
      const keyText = `ind_${id}_${Buffer.from(this.#random.bytes(32)).toString('base64url')}`;
      const hmac = this.#hmac(keyText).toString('hex');
      await this.#record('key', id, 'insert', { ...wanted, hmac }, by);
      const record = this.#table.keys.get(id) as KeyRecord;
      // Another process closed it first.
      if (record.workspace !== null && record.revoked_at !== null) throw isClosed(record.workspace);
      return { keyText, record };
    });
  }

  revokeKey(id: string, by: Principal): Promise<KeyRecord> {
    return this.#system.change(async () => {
      const record = this.#table.keys.get(id);
      if (record === undefined) throw new IndelibleError('not-found', 'no such key');
      if (record.revoked_at === null) await this.#record('key', id, 'delete', null, by);
      return this.#table.keys.get(id) as KeyRecord;
    });
  }

  workspace(id: string): WorkspaceRecord | undefined {
    return this.#table.workspaces.get(id);
  }

  workspaces(): readonly WorkspaceRecord[] {
    return [...this.#table.workspaces.values()];
  }

  createWorkspace(id: string, by: Principal): Promise<WorkspaceRecord> {
    return this.#system.change(async () => {
      if (!this.#table.workspaces.has(id)) await this.#record('workspace', id, 'insert', { id }, by);
      return this.#existingWorkspace(id);
    });
  }

  /** Its keys, which are all of this workspace alone, stop working with it. */
  closeWorkspace(id: string, by: Principal): Promise<WorkspaceRecord> {
    return this.#system.change(async () => {
      if (this.#existingWorkspace(id).closed_at === null) await this.#record('workspace', id, 'delete', null, by);
      return this.#existingWorkspace(id);
    });
  }

  #existingWorkspace(id: string): WorkspaceRecord {
    const record = this.#table.workspaces.get(id);
    if (record === undefined) throw new IndelibleError('not-found', `no workspace '${id}'`);
    return record;
  }

  #record(
    type: 'key' | 'workspace',
    id: string,
    action: 'insert' | 'delete',
    value: Record<string, unknown> | null,
    by: Principal,
  ): Promise<void> {
    return this.#system.record({ type, id, action, value }, by);
  }

  #fold(events: readonly SystemEvent[]): void {
    this.#table = foldKeys(this.#table, events);
    for (const id of this.#passed.keys()) {
      if (this.#table.keys.get(id)?.revoked_at !== null) this.#passed.delete(id);
    }
  }

  #hmac(keyText: string): Buffer {
    return createHmac('sha256', this.#secret).update(keyText).digest();
  }
}

function isClosed(workspace: string): IndelibleError {
  return new IndelibleError('conflict', `workspace '${workspace}' is closed`);
}

/** In constant time; the length of a key is no secret. */
function isSame(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
