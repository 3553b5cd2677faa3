import { join } from 'node:path';
import type { Logger } from 'pino';
import { AiKeys, type AiObserver, AiProviders, GUARD_DEFAULTS } from './ai/index.ts';
import { type AiParts, ComplianceEngine, type ComplianceReports, complianceObserver } from './compliance/index.ts';
import { IndelibleError, type Journals, type ObjectStore } from '../journal/index.ts';
import { ConfigError } from './config.ts';
import { loadPolicies, type PolicySet, SHIPPED_POLICIES } from './policies/index.ts';
import type { Config } from './settings.ts';
import { systemClock, systemRandom } from './system.ts';

const GEMINI_URL = 'https://generativelanguage.googleapis.com';
const EMBEDDING_DIMENSIONS = 768;

/** What a decision is made with: policies, and the model of each workspace. */
export type Judging = { policies: PolicySet; aiKeys: AiKeys; ai: (workspace: string) => Promise<AiParts> };

type Reports = ComplianceReports & Pick<AiObserver, 'callDone' | 'retried'>;

/** @throws ConfigError where a policy file is wrong: one line that names the file and the fix */
export async function openJudging(options: {
  config: Config;
  journals: Journals;
  store: ObjectStore;
  secret: Uint8Array;
  reports: Reports;
  log: Logger;
}): Promise<Judging> {
  const { config, journals, store, secret, reports, log } = options;
  const policies = await configuredPolicies(config.policies ?? SHIPPED_POLICIES);
  const aiKeys = await AiKeys.open({
    ...{ journals, store, secret, clock: systemClock, random: systemRandom },
    observer: {
      unusable: (workspace, fault) =>
        log.error({ workspace, fault }, "the workspace's AI key is not usable: set it again"),
      followFailed: (err) => log.error({ err }, 'changes of AI keys could not be read and will be tried again'),
      leftBehind: (err) => log.warn({ err }, 'an AI key that is no longer in use could not be deleted yet'),
    },
  });
  const providers = new AiProviders({
    keys: aiKeys,
    serviceKey: config.geminiApiKey,
    baseUrl: config.geminiBaseUrl ?? GEMINI_URL,
    model: config.geminiModel,
    embeddingModel: config.embeddingModel,
    embeddingDimensions: EMBEDDING_DIMENSIONS,
    // Policies are embedded beside the signals.
    guard: {
      ...GUARD_DEFAULTS,
      timeoutMs: config.aiTimeoutMs,
      retries: config.aiRetries,
      concurrency: 2 * config.aiConcurrency,
    },
    limits: { callsPerMinute: config.aiCallsPerMinute, callsPerDay: config.aiCallsPerDay },
    clock: systemClock,
    random: systemRandom,
    observer: {
      callDone: (kind, outcome, ms) => reports.callDone?.(kind, outcome, ms),
      retried: (kind, cause, delayMs) => reports.retried?.(kind, cause, delayMs),
      breakerChanged: (workspace, kind, state) => log.warn({ workspace, kind, state }, 'circuit breaker'),
    },
  });
  return { policies, aiKeys, ai: (workspace) => providers.of(workspace) };
}

/** The engine of a process that judges what its own journals hold. It judges nothing before `resume()`. */
export function openEngine(options: {
  config: Config;
  journals: Journals;
  judging: Judging;
  reports: Reports;
  log: Logger;
}): ComplianceEngine {
  const { config, journals, judging, reports, log } = options;
  return new ComplianceEngine({
    journals,
    dir: join(config.data, 'compliance'),
    policies: judging.policies,
    ai: judging.ai,
    clock: systemClock,
    concurrency: config.aiConcurrency,
    observer: complianceObserver(reports, log),
  });
}

/** A fault in a policy is one in the configuration: the start stops with its line. */
async function configuredPolicies(dir: string): Promise<PolicySet> {
  try {
    return await loadPolicies(dir);
  } catch (error) {
    if (error instanceof IndelibleError) throw new ConfigError(error.message);
    throw error;
  }
}
