export {
  applyToEntityState,
  type EntityState,
  emptyEntityState,
  type FieldState,
  foldEntityState,
} from './entity-state.ts';
export {
  EMPTY_KEY_TABLE,
  foldKeys,
  type KeyEvent,
  type KeyRecord,
  type KeyTable,
  ROLES,
  type Role,
  type WorkspaceRecord,
} from './keys.ts';
