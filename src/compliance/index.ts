export { type AiParts, ComplianceEngine, type ComplianceOptions, type JudgeQueue } from './engine.ts';
export { type ComplianceReports, complianceObserver } from './observe.ts';
