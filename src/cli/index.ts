export type { Io } from './context.ts';
export { runCli, STDOUT_CLOSED } from './program.ts';
