import type { Buffer } from 'node:buffer';
import { localDisk, type WalDisk, type WalFile } from '../../journal/index.ts';

export type DiskCall = 'create' | 'append' | 'sync' | 'truncate' | 'close';

/**
 * not-applied: the call did nothing and failed. applied: it did everything and reports a failure. partial: an append
 * that stored the first half of its bytes, as a full disk does.
 */
export type DiskFault = 'not-applied' | 'applied' | 'partial';

/** The local disk, which fails where it is told to. `decide` is asked at every call; undefined lets it through. */
export class FaultyDisk implements WalDisk {
  readonly calls: DiskCall[] = [];
  decide: (call: DiskCall, index: number) => DiskFault | undefined = () => undefined;
  /** Awaited before a call does anything: a test holds the disk here. */
  pause: (call: DiskCall) => Promise<void> | undefined = () => undefined;
  /** Awaited after a call did what it does, or a part of it, and before it says so. */
  pauseAfter: (call: DiskCall) => Promise<void> | undefined = () => undefined;

  /** Fails the nth call of this kind from now on, once. */
  failOnce(kind: DiskCall, fault: DiskFault, nth = 0): void {
    let seen = 0;
    this.decide = (call) => {
      if (call !== kind || seen++ !== nth) return undefined;
      this.decide = () => undefined;
      return fault;
    };
  }

  async create(path: string): Promise<WalFile> {
    let made: WalFile | undefined;
    const create = async () => {
      made = await localDisk.create(path);
      return made;
    };
    const file = await this.#call('create', create).catch(async (error: unknown) => {
      await made?.close();
      throw error;
    });
    return {
      append: (pieces, position) =>
        this.#call(
          'append',
          () => file.append(pieces, position),
          () => file.append(firstHalf(pieces), position),
        ),
      sync: () => this.#call('sync', () => file.sync()),
      truncate: (length) => this.#call('truncate', () => file.truncate(length)),
      // Either way the descriptor is given back: a test leaks none.
      close: () => this.#call('close', async () => {}).finally(() => file.close()),
    };
  }

  async #call<T>(call: DiskCall, apply: () => Promise<T>, applyPart?: () => Promise<void>): Promise<T> {
    const fault = this.decide(call, this.calls.length);
    this.calls.push(call);
    await this.pause(call);
    if (fault === undefined) {
      const result = await apply();
      await this.pauseAfter(call);
      return result;
    }
    if (fault === 'applied') await apply();
    if (fault === 'partial') await applyPart?.();
    await this.pauseAfter(call);
    throw Object.assign(new Error(`ENOSPC: injected, ${call} ${fault}`), { code: 'ENOSPC' });
  }
}

function firstHalf(pieces: Buffer[]): Buffer[] {
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  let left = Math.floor(total / 2);
  const half: Buffer[] = [];
  for (const piece of pieces) {
    half.push(piece.subarray(0, Math.min(left, piece.length)));
    left -= Math.min(left, piece.length);
  }
  return half;
}
