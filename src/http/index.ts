export { journalAxioms } from './journal-axioms.ts';
export type { ClusterAdmin, DeadLetterContent, DeadLetterView, StreamsView, StreamView } from './cluster-admin.ts';
export { allows, PERMISSIONS, type Permission } from './permissions.ts';
export { type RunningServer, type ServerOptions, startServer } from './server.ts';
export {
  type EdgeConfig,
  type EdgeMetrics,
  type KeyService,
  Lifecycle,
  type Principal,
  type Readiness,
  type RetentionService,
  type Services,
  type SystemServices,
} from './services.ts';
