import { assert } from '../../journal/index.ts';
import type { Axiom } from '../../projections/index.ts';
import type { Embedder } from '../judging/index.ts';
import type { PolicyPassage } from './passage-file.ts';

/** Texts in one call to the embedder. Gemini's batchEmbedContents takes 100 requests. */
const BATCH_TEXTS_MAX = 64;

/** One go at embedding what is not embedded yet, for all who wait for it. */
type Embedding = { done: Promise<void>; stop: AbortController; waiting: number };

/** The passages as vectors of one embedder: embedded when they are first asked for, and kept in memory. */
export class PassageIndex {
  readonly #passages: readonly PolicyPassage[];
  readonly #embedder: Embedder;
  /** Of the first passages, in their order; what was embedded before a failure stays. */
  #vectors: readonly Float32Array[] = [];
  #embedding: Embedding | undefined;

  constructor(passages: readonly PolicyPassage[], embedder: Embedder) {
    this.#passages = passages;
    this.#embedder = embedder;
  }

  /**
   * The `count` passages most relevant to a signal with this unit vector of the same embedder: those about its domain, then
   * those about all, each by cosine, the best first; equals by id. What is said of another domain is no policy for this
   * one, however near its words are.
   * Callers that come while the passages are being embedded share that work; it is stopped when the last one leaves.
   * @throws AiError as the embedder does; the next call tries again
   * @throws the signal's reason where it aborts before the passages are embedded
   */
  async relevant(axiom: Axiom, vector: Float32Array, count: number, signal: AbortSignal): Promise<PolicyPassage[]> {
    assert(vector.length === this.#embedder.dimensions, 'a vector has the dimensions of its embedder');
    if (this.#vectors.length < this.#passages.length) await this.#embedded(signal);
    const scored = this.#passages.map((passage, index) => ({ passage, cosine: dot(vector, this.#vectorAt(index)) }));
    const nearest = scored.sort((a, b) => b.cosine - a.cosine).map(({ passage }) => passage);
    return byDomain(nearest, axiom, count);
  }

  async #embedded(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#embedding ??= this.#begin();
    const embedding = this.#embedding;
    embedding.waiting += 1;
    try {
      await orAbort(embedding.done, signal);
    } finally {
      embedding.waiting -= 1;
      if (embedding.waiting === 0) {
        // Whoever comes next must not join what is being stopped.
        if (this.#embedding === embedding) this.#embedding = undefined;
        embedding.stop.abort(signal.reason);
      }
    }
  }

  #begin(): Embedding {
    const stop = new AbortController();
    return { done: this.#embedRest(stop.signal), stop, waiting: 0 };
  }

  async #embedRest(signal: AbortSignal): Promise<void> {
    while (this.#vectors.length < this.#passages.length) {
      const embedded = this.#vectors;
      const batch = this.#passages.slice(embedded.length, embedded.length + BATCH_TEXTS_MAX);
      const vectors = await this.#embedder.embed(batch.map(embeddedText), signal);
      assert(vectors.length === batch.length, 'an embedder gives one vector for each text');
      const { dimensions } = this.#embedder;
      assert(
        vectors.every(({ length }) => length === dimensions),
        'all vectors of an embedder have its dimensions',
      );
      // One that was stopped and did not notice leaves the vectors to the one that followed it.
      signal.throwIfAborted();
      this.#vectors = [...embedded, ...vectors];
    }
  }

  #vectorAt(index: number): Float32Array {
    const vector = this.#vectors[index];
    assert(vector, 'every passage is embedded');
    return vector;
  }
}

/** Passages about the signal's domain, then those about all, in the order they come in: without a vector, by id. */
export function byDomain(passages: readonly PolicyPassage[], axiom: Axiom, count: number): PolicyPassage[] {
  const own = passages.filter(({ domains }) => domains.includes(axiom.domain));
  const common = passages.filter(({ domains }) => domains.length === 0);
  return [...own, ...common].slice(0, count);
}

/** The domains stand in it as a signal's own text names its domain. */
function embeddedText({ title, domains, text }: PolicyPassage): string {
  return [title, ...domains.map((domain) => `domain: ${domain}`), text].join('\n');
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/** Waits no longer than the signal lets it; what is waited for goes on. */
function orAbort(waitedFor: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const leave = () => reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  waitedFor.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  return promise;
}
