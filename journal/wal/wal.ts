import { join } from 'node:path';
import type { CanonicalText } from '../drafts/index.ts';
import { assert, IndelibleError } from '../errors.ts';
import type { WalDisk, WalFile } from './disk.ts';
import { type EncodedLine, LineEncoder, type LineRef } from './format.ts';

/** The positions of one workspace in a WAL file, inclusive. */
export type SeqRange = { firstSeq: number; lastSeq: number };
export type ClosedWalFile = {
  path: string;
  sizeBytes: number;
  events: number;
  /** The longest line with its newline: what reads the file needs buffers for it. */
  lineBytesMax: number;
  ranges: Map<string, SeqRange>;
};

export type WalOptions = {
  dir: string;
  disk: WalDisk;
  /** Number of the first file this process writes; above every number in the directory. */
  firstFileNumber: number;
  /** A file is closed once it holds this much. */
  fileBytesMax: number;
  fileEventsMax: number;
  onClosed(file: ClosedWalFile): void;
  /** A group is on disk. `ranges`: what it made durable. */
  onDurable(ranges: Map<string, SeqRange>, group: { ms: number; events: number; bytes: number }): void;
  /** Everything staged and not durable is gone; journals go back to their durable heads. */
  onRolledBack(): void;
};

type Group = {
  offset: number;
  startsFile: boolean;
  pieces: LineRef[];
  bytes: number;
  events: number;
  lineBytesMax: number;
  ranges: Map<string, SeqRange>;
  durable: PromiseWithResolvers<void>;
  /** Close the file after this group. */
  closing: PromiseWithResolvers<void> | undefined;
};

type OpenFile = ClosedWalFile & { handle: WalFile };

export function walFileName(fileNumber: number): string {
  return `${String(fileNumber).padStart(20, '0')}.ndjson`;
}

/**
 * The write-ahead log of all journals of a process: NDJSON files, one writer, group commit. Events that are staged
 * while a group is being written and synced form the next group and share its fdatasync.
 */
export class Wal {
  readonly #options: WalOptions;
  readonly #encoder = new LineEncoder();
  #nextFileNumber: number;
  #file: OpenFile | undefined;
  #assembling: Group | undefined;
  #writing: Group | undefined;
  /** Close the file before the next group: asked for while nothing was staged. */
  #closingIdle: PromiseWithResolvers<void> | undefined;
  #draining: Promise<void> | undefined;
  #stopped: IndelibleError | undefined;

  constructor(options: WalOptions) {
    this.#options = options;
    this.#nextFileNumber = options.firstFileNumber;
  }

  /** Bytes in the file that is being written. */
  get openBytes(): number {
    return this.#file?.sizeBytes ?? 0;
  }

  /** Throws where an earlier failure left it unknown what is on disk. */
  assertWritable(): void {
    if (this.#stopped) throw this.#stopped;
  }

  /** Adds a line to the group that is being assembled; nothing is promised before durable(). */
  stage(workspace: string, seq: number, canonical: CanonicalText): EncodedLine {
    const group = this.#group();
    const line = this.#encoder.encode(canonical, group.offset);
    const last = group.pieces.at(-1);
    const end = line.end + 1;
    // Lines that lie side by side in memory are written as one.
    if (last?.buffer === line.buffer && last.end === line.start) last.end = end;
    else group.pieces.push({ buffer: line.buffer, start: line.start, end });
    group.bytes += end - line.start;
    group.events += 1;
    group.lineBytesMax = Math.max(group.lineBytesMax, end - line.start);
    const range = group.ranges.get(workspace);
    if (range) range.lastSeq = seq;
    else group.ranges.set(workspace, { firstSeq: seq, lastSeq: seq });
    return line;
  }

  /** Resolves once everything staged so far is on disk. Rejects with `unavailable` where it could not be written. */
  async durable(): Promise<void> {
    const group = this.#assembling;
    if (group) {
      this.#drainSoon();
      return group.durable.promise;
    }
    return this.#writing?.durable.promise;
  }

  /** Closes the current file once what is staged is in it, so that it can be sealed. */
  closeFile(): Promise<void> {
    const group = this.#assembling ?? this.#writing;
    if (!group && !this.#file && !this.#closingIdle) return this.#draining ?? Promise.resolve();
    let closing = group ? group.closing : this.#closingIdle;
    closing ??= Promise.withResolvers<void>();
    if (group) group.closing = closing;
    else this.#closingIdle = closing;
    this.#drainSoon();
    return closing.promise;
  }

  #group(): Group {
    if (this.#assembling) return this.#assembling;
    const end = this.#fileEnd();
    const durable = Promise.withResolvers<void>();
    // A group whose callers all went away must not bring the process down.
    durable.promise.catch(() => {});
    this.#assembling = {
      offset: end ?? 0,
      startsFile: end === undefined,
      pieces: [],
      bytes: 0,
      events: 0,
      lineBytesMax: 0,
      ranges: new Map(),
      durable,
      closing: undefined,
    };
    return this.#assembling;
  }

  /** Where the next group begins in the current file; undefined: it begins a new one. */
  #fileEnd(): number | undefined {
    const writing = this.#writing;
    if (this.#closingIdle || writing?.closing || (!this.#file && !writing)) return undefined;
    const startsFile = writing?.startsFile ?? false;
    const bytes = (startsFile ? 0 : (this.#file?.sizeBytes ?? 0)) + (writing?.bytes ?? 0);
    const events = (startsFile ? 0 : (this.#file?.events ?? 0)) + (writing?.events ?? 0);
    if (bytes >= this.#options.fileBytesMax || events >= this.#options.fileEventsMax) return undefined;
    return bytes;
  }

  #drainSoon(): void {
    // After this turn of the event loop, so that requests which arrived together share a group.
    this.#draining ??= new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#drain())
      .finally(() => {
        this.#draining = undefined;
        if (this.#assembling || this.#closingIdle) this.#drainSoon();
      });
  }

  async #drain(): Promise<void> {
    while (this.#assembling || this.#closingIdle) {
      const idle = this.#closingIdle;
      if (idle) {
        await this.#close();
        this.#closingIdle = undefined;
        idle.resolve();
        continue;
      }
      const group = this.#assembling as Group;
      this.#assembling = undefined;
      this.#writing = group;
      const startedMs = performance.now();
      const failure = await this.#write(group).then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      if (failure) {
        await this.#fail(group, failure.error);
      } else {
        this.#writing = undefined;
        const ms = performance.now() - startedMs;
        this.#options.onDurable(group.ranges, { ms, events: group.events, bytes: group.bytes });
        group.durable.resolve();
      }
      if (group.closing || this.#full()) await this.#close();
      group.closing?.resolve();
    }
  }

  #full(): boolean {
    const file = this.#file;
    return !!file && (file.sizeBytes >= this.#options.fileBytesMax || file.events >= this.#options.fileEventsMax);
  }

  async #write(group: Group): Promise<void> {
    if (this.#stopped) throw this.#stopped;
    if (group.startsFile) {
      assert(!this.#file, 'a new file begins where none is open');
      const path = join(this.#options.dir, walFileName(this.#nextFileNumber));
      this.#nextFileNumber += 1;
      const handle = await this.#options.disk.create(path);
      this.#file = { path, handle, sizeBytes: 0, events: 0, lineBytesMax: 0, ranges: new Map() };
    }
    const file = this.#file;
    assert(file && file.sizeBytes === group.offset, 'I1: a group begins where its file ends');
    const pieces = group.pieces.map(({ buffer, start, end }) => buffer.subarray(start, end));
    await file.handle.append(pieces, group.offset);
    await this.#sync(file);
    file.sizeBytes += group.bytes;
    file.events += group.events;
    file.lineBytesMax = Math.max(file.lineBytesMax, group.lineBytesMax);
    for (const [workspace, range] of group.ranges) {
      const known = file.ranges.get(workspace);
      if (known) known.lastSeq = range.lastSeq;
      else file.ranges.set(workspace, { ...range });
    }
  }

  async #sync(file: OpenFile): Promise<void> {
    try {
      await file.handle.sync();
    } catch (cause) {
      // The kernel may have dropped the pages it could not write: nothing tells what is on disk but reading it anew.
      const message = `${file.path} could not be synced: appends stop until the service is started again`;
      this.#stopped = new IndelibleError('unavailable', message, { cause, retryAfterS: 60 });
      throw this.#stopped;
    }
  }

  /**
   * The group, and the one that was assembled on top of it, did not happen. While the file is cut back the group counts
   * as being written, so that nobody takes its events for durable.
   */
  async #fail(group: Group, cause: unknown): Promise<void> {
    const file = this.#file;
    if (file && !this.#stopped) {
      try {
        await file.handle.truncate(file.sizeBytes);
        await file.handle.sync();
      } catch (error) {
        const message = `${file.path} could not be cut back after a failed write: appends stop until the service is started again`;
        this.#stopped = new IndelibleError('unavailable', message, { cause: error, retryAfterS: 60 });
      }
    }
    const next = this.#assembling;
    this.#assembling = undefined;
    this.#writing = undefined;
    this.#options.onRolledBack();
    const error =
      this.#stopped ??
      new IndelibleError('unavailable', 'the write-ahead log cannot be written', { cause, retryAfterS: 5 });
    group.durable.reject(error);
    next?.durable.reject(error);
    if (next?.closing) {
      // What is durable is to be sealed all the same: the file is closed for both.
      if (group.closing) group.closing.promise.then(next.closing.resolve, next.closing.reject);
      else group.closing = next.closing;
    }
  }

  async #close(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    // Everything in it was synced: a failure to close takes nothing back.
    await file.handle.close().catch(() => {});
    const { path, sizeBytes, events, lineBytesMax, ranges } = file;
    this.#options.onClosed({ path, sizeBytes, events, lineBytesMax, ranges });
  }
}
