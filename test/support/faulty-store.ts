import type { ObjectStore, StoredObject } from '../../journal/index.ts';

export type StoreCall = 'putFile' | 'putIfAbsent' | 'put' | 'get' | 'list' | 'delete' | 'download';

/** not-applied: nothing happened. applied: it happened, and the answer was lost. */
export type StoreFault = 'not-applied' | 'applied';

/** A store that fails where it is told to. `decide` is asked at every call; undefined lets it through. */
export class FaultyStore implements ObjectStore {
  readonly url: string;
  readonly calls: { call: StoreCall; key: string }[] = [];
  /** Every call waits for this before anything else happens. */
  hold: (call: StoreCall, key: string) => Promise<void> = async () => {};
  decide: (call: StoreCall, index: number, key: string) => StoreFault | undefined = () => undefined;
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
    this.url = store.url;
  }

  putFile(key: string, localPath: string): Promise<void> {
    return this.#call('putFile', key, () => this.#store.putFile(key, localPath));
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<'written' | 'exists'> {
    return this.#call('putIfAbsent', key, () => this.#store.putIfAbsent(key, bytes));
  }

  put(key: string, bytes: Uint8Array): Promise<void> {
    return this.#call('put', key, () => this.#store.put(key, bytes));
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#call('get', key, () => this.#store.get(key));
  }

  async *list(prefix: string, startAfter?: string): AsyncIterable<StoredObject> {
    await this.#call('list', prefix, async () => {});
    yield* this.#store.list(prefix, startAfter);
  }

  delete(key: string): Promise<void> {
    return this.#call('delete', key, () => this.#store.delete(key));
  }

  pathOf(key: string): string | undefined {
    return this.#store.pathOf(key);
  }

  download(key: string, localPath: string): Promise<void> {
    return this.#call('download', key, () => this.#store.download(key, localPath));
  }

  async #call<T>(call: StoreCall, key: string, apply: () => Promise<T>): Promise<T> {
    await this.hold(call, key);
    const fault = this.decide(call, this.calls.length, key);
    this.calls.push({ call, key });
    if (fault === undefined) return apply();
    if (fault === 'applied') await apply();
    throw new Error(`injected: ${call} ${key} ${fault}`);
  }
}
