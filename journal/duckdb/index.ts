export { Engine, type EngineOptions, type Row, type SqlValue } from './engine.ts';
