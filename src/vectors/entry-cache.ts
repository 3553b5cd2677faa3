import type { VerdictEntry } from './entries.ts';

const CACHE_BYTES_MAX = 32 * 1024 * 1024;
/** Of an entry beside its vector and texts, about. */
const ENTRY_BYTES = 400;

/** Entries read last, by their number: signals of one kind are compared with the same few again and again. */
export class EntryCache {
  readonly #entries = new Map<number, VerdictEntry>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get(number: number): VerdictEntry | undefined {
    const entry = this.#entries.get(number);
    if (entry === undefined) return undefined;
    this.#entries.delete(number);
    this.#entries.set(number, entry);
    return entry;
  }

  put(number: number, entry: VerdictEntry): void {
    if (this.#entries.has(number)) return;
    this.#entries.set(number, entry);
    this.#bytes += bytesOf(entry);
    for (const [oldest, dropped] of this.#entries) {
      if (this.#bytes <= CACHE_BYTES_MAX) return;
      this.#entries.delete(oldest);
      this.#bytes -= bytesOf(dropped);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}

function bytesOf({ vector, fingerprint, cached }: VerdictEntry): number {
  return ENTRY_BYTES + vector.byteLength + 2 * (fingerprint.length + cached.narrative.length);
}
