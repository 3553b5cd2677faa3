import type { Embedder, Model, ModelAnswer, Prompt } from '../judging/index.ts';
import { EMBED_TEXTS_MAX } from './gemini-limits.ts';
import type { Guard } from './guard.ts';

/** A model behind a guard. */
export class GuardedModel implements Model {
  readonly #model: Model;
  readonly #guard: Guard;

  constructor(model: Model, guard: Guard) {
    this.#model = model;
    this.#guard = guard;
  }

  get driver(): string {
    return this.#model.driver;
  }

  get name(): string {
    return this.#model.name;
  }

  answer(prompt: Prompt, signal: AbortSignal): Promise<ModelAnswer> {
    return this.#guard.run((ends) => this.#model.answer(prompt, ends), signal);
  }
}

/** An embedder behind a guard: as many calls, one after the other, as the texts need. */
export class GuardedEmbedder implements Embedder {
  readonly #embedder: Embedder;
  readonly #guard: Guard;

  constructor(embedder: Embedder, guard: Guard) {
    this.#embedder = embedder;
    this.#guard = guard;
  }

  get model(): string {
    return this.#embedder.model;
  }

  get dimensions(): number {
    return this.#embedder.dimensions;
  }

  get isLocal(): boolean {
    return this.#embedder.isLocal;
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    const vectors: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += EMBED_TEXTS_MAX) {
      const some = texts.slice(from, from + EMBED_TEXTS_MAX);
      vectors.push(...(await this.#guard.run((ends) => this.#embedder.embed(some, ends), signal)));
    }
    return vectors;
  }
}
