import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TailView } from './tail.ts';

type Piece = { path: string; fromSeq: number; toSeq: number; users: number };

const PIECES_MAX = 8;

/**
 * A journal's durable tail as local NDJSON files for DuckDB to read: immutable pieces, each written once, shared by the
 * snapshots that need them, and holding nothing of another workspace. They are copies: losing them loses nothing.
 */
export class TailFiles {
  readonly #dir: string;
  readonly #workspace: string;
  #pieces: Piece[] = [];
  #made = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(dir: string, workspace: string) {
    this.#dir = dir;
    this.#workspace = workspace;
  }

  /** Files that hold every event of the view, and a function that gives them back. */
  cover(view: TailView): Promise<{ paths: string[]; release: () => Promise<void> }> {
    const result = this.#last.then(() => this.#cover(view));
    this.#last = result.catch(() => {});
    return result;
  }

  async #cover(view: TailView): Promise<{ paths: string[]; release: () => Promise<void> }> {
    const used: Piece[] = [];
    let next = view.fromSeq;
    for (const piece of this.#pieces) {
      // Pieces that overlap would show events twice: the first may begin early, each further one where the last ended.
      const fits = used.length === 0 ? piece.fromSeq <= next && piece.toSeq >= next : piece.fromSeq === next;
      if (!fits) continue;
      used.push(piece);
      next = piece.toSeq + 1;
    }
    if (used.length >= PIECES_MAX) {
      used.length = 0;
      next = view.fromSeq;
    }
    if (next <= view.toSeq) used.push(await this.#write(view, next));
    for (const piece of used) piece.users += 1;
    await this.#dropUnused(new Set(used));
    let released = false;
    return {
      paths: used.map((piece) => piece.path),
      release: async () => {
        if (released) return;
        released = true;
        for (const piece of used) piece.users -= 1;
      },
    };
  }

  async #write(view: TailView, fromSeq: number): Promise<Piece> {
    this.#made += 1;
    const path = join(this.#dir, `${this.#workspace}-${this.#made}.ndjson`);
    const handle = await open(path, 'wx');
    try {
      for (const bytes of view.pieces(fromSeq, view.toSeq)) await handle.writeFile(bytes);
    } finally {
      await handle.close();
    }
    const piece = { path, fromSeq, toSeq: view.toSeq, users: 0 };
    this.#pieces.push(piece);
    return piece;
  }

  /** Pieces that neither this snapshot nor an older one needs. */
  async #dropUnused(current: ReadonlySet<Piece>): Promise<void> {
    const unused = this.#pieces.filter((piece) => piece.users === 0 && !current.has(piece));
    this.#pieces = this.#pieces.filter((piece) => piece.users > 0 || current.has(piece));
    for (const piece of unused) await rm(piece.path, { force: true });
  }
}
