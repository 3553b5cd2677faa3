import {
  assert,
  type Clock,
  IndelibleError,
  invalid,
  type Journals,
  type ObjectStore,
  type Random,
  uuidV4,
} from '../../journal/index.ts';
import { type AiKeyRecord, type AiKeyTable, EMPTY_AI_KEY_TABLE, foldAiKeys } from '../../projections/index.ts';
import type { Principal } from '../http/index.ts';
import { SystemFollower } from '../system-journal.ts';
import { KeyCipher } from './key-cipher.ts';

/** One object for each key. The folder's first `_` keeps it from a foreign VACUUM of the table beside it. */
const PREFIX = '_system/_indelible/ai-keys/';

/** An object that is younger may be of a key that another process is about to record. */
const UNNAMED_MS = 3_600_000;

/** What can stand in a header, and nothing longer than a token of any provider. */
const KEY_PATTERN = /^[\x21-\x7e]{8,512}$/;

/** A name, not a path: it becomes a part of the address that is called. */
const MODEL_PATTERN = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/;

export type AiKeyWanted = {
  provider: 'gemini';
  key: string;
  /** Absent: the service's default. */
  model?: string | undefined;
  embeddingModel?: string | undefined;
};

export type AiKeyStatus = Omit<AiKeyRecord, 'workspace' | 'key_id'> & {
  /** False: the key is lost or of another server secret. Set it again. */
  usable: boolean;
};

/** What is wrong with a key that the journal names. */
export type AiKeyFault = 'missing' | 'undecryptable';

export type AiKeysObserver = {
  unusable?(workspace: string, fault: AiKeyFault): void;
  /** Changes of other processes could not be read: they count here only once that succeeds. */
  followFailed?(error: unknown): void;
  /** An object of a key that is no longer in use could not be deleted: the next start tries again. */
  leftBehind?(error: unknown): void;
};

export type AiKeysOptions = {
  journals: Journals;
  store: ObjectStore;
  secret: Uint8Array;
  clock: Clock;
  random: Random;
  observer?: AiKeysObserver;
};

/**
 * Keys that workspaces bring for the model. That there is one is an event of `_system`; the key itself is an encrypted
 * object beside it, because what an event holds can never be taken back.
 *
 * The object is written before the event and deleted before the event of its removal: whatever is cut short leaves an
 * object that nobody names, which a start deletes once it is old, or a name without an object, which is a key that is not usable.
 */
export class AiKeys {
  readonly #store: ObjectStore;
  readonly #cipher: KeyCipher;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #observer: AiKeysObserver;
  readonly #system: SystemFollower;
  #table: AiKeyTable = EMPTY_AI_KEY_TABLE;

  private constructor(options: AiKeysOptions) {
    const { journals, store, secret, clock, random, observer = {} } = options;
    this.#store = store;
    this.#cipher = new KeyCipher(secret, random);
    this.#clock = clock;
    this.#random = random;
    this.#observer = observer;
    this.#system = new SystemFollower({
      ...{ journals, types: ['ai-key'], onFailed: (error) => observer.followFailed?.(error) },
      fold: (events) => {
        this.#table = foldAiKeys(this.#table, events);
      },
    });
  }

  /** Folds the table from the `_system` journal, follows that, and deletes old keys that it does not name. */
  static async open(options: AiKeysOptions): Promise<AiKeys> {
    const keys = new AiKeys(options);
    await keys.#system.start();
    await keys.#deleteUnnamed().catch((error: unknown) => keys.#observer.leftBehind?.(error));
    return keys;
  }

  /** Hears no more of what other processes change. */
  close(): void {
    this.#system.close();
  }

  /** What the journal says of the workspace's key; undefined: it has none of its own. */
  current(workspace: string): AiKeyRecord | undefined {
    return this.#table.keys.get(workspace);
  }

  /**
   * Takes the place of the workspace's key before.
   * @throws IndelibleError invalid, without the key in it; unavailable
   */
  set(workspace: string, wanted: AiKeyWanted, by: Principal): Promise<AiKeyStatus> {
    return this.#system.change(async () => {
      check(wanted);
      const before = this.current(workspace);
      const keyId = uuidV4(this.#random);
      const sealed = this.#cipher.encrypt(wanted.key, { workspace, keyId });
      const put = await this.#inStore((store) => store.putIfAbsent(objectKey(keyId), sealed));
      assert(put === 'written', 'the id of a key is new');
      const { provider, model = null, embeddingModel = null } = wanted;
      const value = { key_id: keyId, provider, model, embedding_model: embeddingModel };
      await this.#record(workspace, value, by);
      const record = this.current(workspace);
      // Another process may have set one meanwhile: then this one is not needed any more.
      for (const id of [before?.key_id, keyId]) {
        if (id === undefined || id === record?.key_id) continue;
        await this.#store.delete(objectKey(id)).catch((error: unknown) => this.#observer.leftBehind?.(error));
      }
      if (!record) throw new IndelibleError('conflict', `the AI key of '${workspace}' was removed meanwhile`);
      return statusOf(record, true);
    });
  }

  /**
   * Resolves once the key is gone and the journal says so.
   * @throws IndelibleError not-found; unavailable: the key may be gone already, and the same again finishes it
   */
  remove(workspace: string, by: Principal): Promise<void> {
    return this.#system.change(async () => {
      const record = this.current(workspace);
      if (!record) throw new IndelibleError('not-found', `'${workspace}' has no AI key of its own`);
      await this.#inStore((store) => store.delete(objectKey(record.key_id)));
      await this.#record(workspace, null, by);
    });
  }

  /** undefined: the workspace has no key of its own. @throws IndelibleError unavailable where the store does not tell */
  async status(workspace: string): Promise<AiKeyStatus | undefined> {
    const key = await this.get(workspace);
    const record = this.current(workspace);
    return record && statusOf(record, key !== undefined);
  }

  /**
   * The workspace's own key, decrypted; undefined: it has none, or none that is usable.
   * @throws IndelibleError unavailable
   */
  async get(workspace: string): Promise<string | undefined> {
    const record = this.current(workspace);
    if (!record) return undefined;
    const keyId = record.key_id;
    const bytes = await this.#inStore((store) => store.get(objectKey(keyId)));
    // Another key was set meanwhile: the object of this one may be gone for that reason.
    if (this.current(workspace)?.key_id !== keyId) return this.get(workspace);
    const key = bytes && this.#cipher.decrypt(bytes, { workspace, keyId });
    if (key === undefined) this.#observer.unusable?.(workspace, bytes ? 'undecryptable' : 'missing');
    return key;
  }

  async #deleteUnnamed(): Promise<void> {
    const named = new Set([...this.#table.keys.values()].map(({ key_id }) => objectKey(key_id)));
    const oldMs = this.#clock.nowMs() - UNNAMED_MS;
    for await (const { key, modifiedMs } of this.#store.list(PREFIX)) {
      if (!named.has(key) && modifiedMs < oldMs) await this.#store.delete(key);
    }
  }

  #record(workspace: string, value: Record<string, unknown> | null, by: Principal): Promise<void> {
    const action = value === null ? 'delete' : 'insert';
    return this.#system.record({ type: 'ai-key', id: workspace, action, value }, by);
  }

  async #inStore<T>(work: (store: ObjectStore) => Promise<T>): Promise<T> {
    try {
      return await work(this.#store);
    } catch (cause) {
      throw new IndelibleError('unavailable', 'the store of the AI keys did not answer', { cause, retryAfterS: 5 });
    }
  }
}

function objectKey(keyId: string): string {
  return `${PREFIX}${keyId}`;
}

function statusOf({ workspace: _, key_id: __, ...said }: AiKeyRecord, usable: boolean): AiKeyStatus {
  return { ...said, usable };
}

function check({ key, model, embeddingModel }: AiKeyWanted): void {
  const errors = [];
  if (!KEY_PATTERN.test(key)) {
    errors.push({ pointer: '/key', message: 'is to be 8 to 512 printable ASCII characters without spaces' });
  }
  for (const [pointer, name] of [
    ['/model', model],
    ['/embedding_model', embeddingModel],
  ] as const) {
    if (name !== undefined && !MODEL_PATTERN.test(name)) {
      errors.push({ pointer, message: 'is to be the name of a model: a-z, 0-9, dots and hyphens' });
    }
  }
  if (errors.length > 0) throw invalid(errors);
}
