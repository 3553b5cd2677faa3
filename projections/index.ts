export {
  applyToEntityState,
  type EntityState,
  emptyEntityState,
  type FieldState,
  foldEntityState,
} from './entity-state.ts';
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
export type { SystemEvent } from './system-event.ts';
