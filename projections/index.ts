export { type AiKeyRecord, type AiKeyTable, EMPTY_AI_KEY_TABLE, foldAiKeys } from './ai-keys.ts';
export {
  applyToEntityState,
  type EntityState,
  emptyEntityState,
  type FieldState,
  foldEntityState,
} from './entity-state.ts';
export type { ActivityRow } from './activity-daily.ts';
export { PROJECTIONS } from './catalogue.ts';
export { COMPLIANCE_EVENTS, type ComplianceRow, complianceRowOf } from './compliance-events.ts';
export { newRowsSql, type Projection, viewSql } from './definition.ts';
export { EMPTY_HOLD_TABLE, foldHolds, type HoldRecord, type HoldTable, holdId } from './holds.ts';
export {
  EMPTY_KEY_TABLE,
  foldKeys,
  type KeyRecord,
  type KeyTable,
  ROLES,
  type Role,
  type WorkspaceRecord,
} from './keys.ts';
export {
  AXIOM_TYPE,
  type Axiom,
  axiomOf,
  type Failure,
  NO_VERDICT,
  RISK_LEVELS,
  type RecordedAxiom,
  type RiskLevel,
  type TakenAxiom,
  TIERS,
  type Tier,
  UNKNOWN_SOURCE,
  VERDICT_TYPE,
  type Verdict,
  verdictDraft,
  verdictId,
  verdictOf,
} from './signals.ts';
export type { SystemEvent } from './system-event.ts';
export * from './run/index.ts';
