export { AiKeys, type AiKeyStatus, type AiKeysObserver, type AiKeysOptions, type AiKeyWanted } from './ai-keys.ts';
export type { CallLimits } from './call-budget.ts';
export { type AiObserver, type BreakerState, type CallKind, GUARD_DEFAULTS, type GuardSettings } from './guard.ts';
export { type AiProvider, AiProviders, type AiProvidersOptions } from './providers.ts';
