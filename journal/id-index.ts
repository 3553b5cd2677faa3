/**
 * Which positions may hold an event_id: a hash table from a 64-bit fingerprint of the id to its seq, in typed arrays,
 * for every event of the journal. A hit is a hint, confirmed against the event itself; a miss is certain. So a stale
 * entry (an event whose write failed) and a collision of fingerprints cost a look-up and are never wrong.
 *
 * 12 bytes a slot; open addressing, 256 shards, so that growing one moves a 256th of the keys and stalls nobody.
 */

const SHARDS = 256;
const FIRST_SLOTS = 16;
const LOAD_MAX = 0.8;
const WORDS = 3;
const EMPTY = 0xffffffff;

type Shard = { slots: Uint32Array; used: number };

export class IdIndex {
  readonly #shards: Shard[] = [];
  readonly #seedLow: number;
  readonly #seedHigh: number;
  #size = 0;
  #low = 0;
  #high = 0;

  /** `seed`: eight random bytes, so that nobody can choose ids that collide. */
  constructor(seed: Uint8Array) {
    const view = new DataView(seed.buffer, seed.byteOffset, 8);
    this.#seedLow = view.getUint32(0);
    this.#seedHigh = view.getUint32(4);
    for (let i = 0; i < SHARDS; i++) this.#shards.push({ slots: emptySlots(FIRST_SLOTS), used: 0 });
  }

  get size(): number {
    return this.#size;
  }

  get sizeBytes(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.slots.byteLength, 0);
  }

  add(eventId: string, seq: number): void {
    this.#fingerprint(eventId);
    const shard = this.#shards[this.#high >>> 24] as Shard;
    if ((shard.used + 1) * WORDS > shard.slots.length * LOAD_MAX) grow(shard);
    put(shard.slots, this.#low, this.#high, seq);
    shard.used += 1;
    this.#size += 1;
  }

  /** Positions that may hold the id; usually none or one. */
  candidates(eventId: string): number[] {
    this.#fingerprint(eventId);
    const low = this.#low;
    const high = this.#high;
    const { slots } = this.#shards[high >>> 24] as Shard;
    const count = slots.length / WORDS;
    let found: number[] | undefined;
    for (let slot = low % count; ; slot = slot + 1 === count ? 0 : slot + 1) {
      const at = slot * WORDS;
      const seq = slots[at + 2] as number;
      if (seq === EMPTY) return found ?? NONE;
      if (slots[at] === low && slots[at + 1] === high) {
        found ??= [];
        found.push(seq);
      }
    }
  }

  /** Two 32-bit multiplicative hashes over UTF-16 units, finished as in MurmurHash3's fmix32. */
  #fingerprint(text: string): void {
    let low = this.#seedLow;
    let high = this.#seedHigh;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      low = Math.imul(low ^ unit, 0x9e3779b1);
      high = Math.imul(high ^ unit, 0x85ebca6b);
      low ^= low >>> 15;
      high ^= high >>> 13;
    }
    low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ (high >>> 7);
    high = Math.imul(high ^ (high >>> 13), 0xc2b2ae35) ^ (low >>> 9);
    this.#low = (low ^ (low >>> 16)) >>> 0;
    this.#high = (high ^ (high >>> 16)) >>> 0;
  }
}

const NONE: number[] = [];

function emptySlots(count: number): Uint32Array {
  return new Uint32Array(count * WORDS).fill(EMPTY);
}

function put(slots: Uint32Array, low: number, high: number, seq: number): void {
  const count = slots.length / WORDS;
  let slot = low % count;
  while (slots[slot * WORDS + 2] !== EMPTY) slot = slot + 1 === count ? 0 : slot + 1;
  slots[slot * WORDS] = low;
  slots[slot * WORDS + 1] = high;
  slots[slot * WORDS + 2] = seq;
}

function grow(shard: Shard): void {
  const old = shard.slots;
  const slots = emptySlots(Math.ceil((old.length / WORDS) * 1.5));
  for (let at = 0; at < old.length; at += WORDS) {
    const seq = old[at + 2] as number;
    if (seq !== EMPTY) put(slots, old[at] as number, old[at + 1] as number, seq);
  }
  shard.slots = slots;
}
