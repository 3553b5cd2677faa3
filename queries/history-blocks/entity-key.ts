/** An entity_id as it is looked up: made once for a question. */
export type EntityKey = {
  /** UTF-8. */
  id: Buffer;
  /** What each of its lines in a block begins with. */
  linePrefix: Buffer;
  /** For the filter, 32 bits. */
  hash: number;
};

export function entityKey(entityId: string): EntityKey {
  const id = Buffer.from(entityId);
  return { id, linePrefix: Buffer.from(linePrefix(entityId)), hash: idHash(id) };
}

export function linePrefix(entityId: string): string {
  return `\n[${JSON.stringify(entityId)},`;
}

/** FNV-1a, 32 bits. */
export function idHash(id: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of id) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Bits for each id, and how many of them are set: one in a hundred ids that are not there passes. */
const BITS_PER_ID = 10;
const PROBES = 7;

/** A Bloom filter (double hashing, Kirsch and Mitzenmacher 2006): most files hold nothing of an entity, and are not read. */
export function makeFilter(hashes: readonly number[]): Buffer {
  const filter = Buffer.alloc(Math.max(8, Math.ceil((hashes.length * BITS_PER_ID) / 8)));
  for (const hash of hashes) {
    everyProbe(filter, hash, (byte, mask) => {
      filter[byte] = (filter[byte] as number) | mask;
      return true;
    });
  }
  return filter;
}

/** False: the id is not among those of the filter. */
export function passesFilter(filter: Buffer, hash: number): boolean {
  return everyProbe(filter, hash, (byte, mask) => ((filter[byte] as number) & mask) !== 0);
}

function everyProbe(filter: Buffer, hash: number, holds: (byte: number, mask: number) => boolean): boolean {
  const bits = filter.length * 8;
  const step = scattered(hash ^ 0x9e3779b9) | 1;
  let at = scattered(hash);
  for (let probe = 0; probe < PROBES; probe += 1) {
    const bit = (at >>> 0) % bits;
    if (!holds(bit >>> 3, 1 << (bit & 7))) return false;
    at = (at + step) | 0;
  }
  return true;
}

/** The last step of MurmurHash3, which spreads every bit over all others. */
function scattered(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
