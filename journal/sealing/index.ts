export { SealProcess, type SealProcessOptions } from './seal-process.ts';
