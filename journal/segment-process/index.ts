export { inThisProcess, type SegmentJobs } from './jobs.ts';
export { SegmentProcess } from './segment-process.ts';
