export { loadPolicies, SHIPPED_POLICIES } from './load.ts';
export { policiesOf } from './policies.ts';
export type { PolicySet } from './policy-set.ts';
export { judgeByRules } from './rules.ts';
