export type { Io } from './context.ts';
export { runCli } from './program.ts';
