export type { Certificate, VersionContent } from './certificate.ts';
export { ComplianceEvents, type ComplianceExport, type CompliancePage, type ComplianceQuery } from './compliance.ts';
export type { ComplianceFilter } from './compliance-filter.ts';
export { type ProjectionObserver, ProjectionRunner, type RunnerOptions } from './runner.ts';
