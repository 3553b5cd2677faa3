export { AxiomConsumer, type AxiomConsumerOptions } from './consumer.ts';
export { AxiomQueue } from './intake.ts';
export type { AxiomObserver } from './signal-desk.ts';
