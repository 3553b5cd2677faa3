export { Engine, type EngineOptions, type Row, type SqlValue } from './engine.ts';
export { isOutOfMemory, sqlString } from './sql.ts';
