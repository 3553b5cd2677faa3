export { BuildProcess } from './build-process.ts';
export type { BuildJob } from './protocol.ts';
