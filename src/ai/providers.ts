import type { Clock, Random } from '../../journal/index.ts';
import type { Embedder, Model } from '../judging/index.ts';
import type { AiKeys } from './ai-keys.ts';
import { CallBudget, type CallLimits } from './call-budget.ts';
import { type AiObserver, type CallKind, Guard, type GuardSettings } from './guard.ts';
import { GuardedEmbedder, GuardedModel } from './guarded.ts';

/** undefined: there is no key, or none that is usable. */
export type AiProvider = { model: Model | undefined; embedder: Embedder | undefined };

export type AiProvidersOptions = {
  keys: AiKeys;
  /** Of the configuration, for workspaces that brought none. undefined: those have no model. */
  serviceKey: string | undefined;
  baseUrl: string;
  model: string;
  embeddingModel: string;
  embeddingDimensions: number;
  guard: GuardSettings;
  limits: CallLimits;
  clock: Clock;
  random: Random;
  observer: AiObserver;
};

const NONE: AiProvider = { model: undefined, embedder: undefined };

/** Where a workspace without a key of its own is served by the service's. */
const SERVICE_KEY = 'service';

/**
 * Model and embedder of each workspace. They hold the key, so they are made once for each key that is set and dropped
 * with it; the budget stays, because it is the workspace's.
 */
export class AiProviders {
  readonly #options: AiProvidersOptions;
  readonly #made = new Map<string, { keyId: string; provider: Promise<AiProvider> }>();
  readonly #budgets = new Map<string, CallBudget>();

  constructor(options: AiProvidersOptions) {
    this.#options = options;
  }

  /**
   * The workspace's own key, else the service's, else none. A workspace whose own key is not usable has none: what it
   * chose to send with its key is not sent with another's.
   * @throws IndelibleError unavailable where the store does not tell the key: the next call asks again
   */
  of(workspace: string): Promise<AiProvider> {
    const { keys, serviceKey } = this.#options;
    const keyId = keys.current(workspace)?.key_id ?? (serviceKey === undefined ? undefined : SERVICE_KEY);
    const known = this.#made.get(workspace);
    if (known && known.keyId === keyId) return known.provider;
    this.#made.delete(workspace);
    if (keyId === undefined) return Promise.resolve(NONE);
    const made = { keyId, provider: this.#make(workspace) };
    this.#made.set(workspace, made);
    made.provider.catch(() => {
      if (this.#made.get(workspace) === made) this.#made.delete(workspace);
    });
    return made.provider;
  }

  async #make(workspace: string): Promise<AiProvider> {
    const { keys, serviceKey, baseUrl, embeddingDimensions, ...defaults } = this.#options;
    const own = keys.current(workspace);
    const apiKey = own ? await keys.get(workspace) : serviceKey;
    if (apiKey === undefined) return NONE;
    // The SDK is large, and who has no key needs none of it.
    const { GeminiEmbedder, GeminiModel } = await import('./gemini.ts');
    const connection = { apiKey, baseUrl };
    const model = new GeminiModel({ ...connection, model: own?.model ?? defaults.model });
    const embedder = new GeminiEmbedder({
      ...connection,
      model: own?.embedding_model ?? defaults.embeddingModel,
      dimensions: embeddingDimensions,
    });
    return {
      model: new GuardedModel(model, this.#guard(workspace, 'model')),
      embedder: new GuardedEmbedder(embedder, this.#guard(workspace, 'embedding')),
    };
  }

  #guard(workspace: string, kind: CallKind): Guard {
    const { guard, random, observer } = this.#options;
    return new Guard({ ...guard, workspace, kind, budget: this.#budget(workspace), random, observer });
  }

  #budget(workspace: string): CallBudget {
    const known = this.#budgets.get(workspace);
    if (known) return known;
    const budget = new CallBudget(this.#options.clock, this.#options.limits);
    this.#budgets.set(workspace, budget);
    return budget;
  }
}
