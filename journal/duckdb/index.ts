export { Engine, type EngineOptions, type Row, type SqlValue } from './engine.ts';
export { sqlString } from './sql.ts';
