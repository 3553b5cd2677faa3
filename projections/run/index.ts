export { type ActivityQuery, activity } from './activity.ts';
export type { Certificate, VersionContent } from './certificate.ts';
export { ComplianceEvents, type ComplianceExport, type CompliancePage, type ComplianceQuery } from './compliance.ts';
export type { ComplianceFilter } from './compliance-filter.ts';
export type { ComplianceStats } from './compliance-stats.ts';
export type { RebuildOptions } from './rebuild.ts';
export { type ProjectionObserver, ProjectionRunner, type RunnerOptions } from './runner.ts';
export { type HeldViews, type ProjectionView, projectionViews, storedViews } from './views.ts';
