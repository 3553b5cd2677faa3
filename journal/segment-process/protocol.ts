import type { ErrorKind } from '../errors.ts';
import type { SegmentJobs } from './jobs.ts';

type Named<Name extends 'seal' | 'survey' | 'writePart'> = { job: Name; args: Parameters<SegmentJobs[Name]> };

/** One call of SegmentJobs. */
export type ToSegmentProcess = Named<'seal'> | Named<'survey'> | Named<'writePart'>;
export type FromSegmentProcess = { result: unknown } | { error: { kind: ErrorKind; message: string } };
