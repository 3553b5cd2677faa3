export { ComplianceEngine, type ComplianceOptions, type JudgeQueue } from './engine.ts';
export { GroupWriter } from './group-writer.ts';
export { FlaggedQueue } from './flagged-queue.ts';
export { type ComplianceReports, complianceObserver } from './observe.ts';
export type { JudgeObserver } from './workspace-judge.ts';
export { type AiParts, sharedPolicies, WorkspaceParts } from './workspace-parts.ts';
