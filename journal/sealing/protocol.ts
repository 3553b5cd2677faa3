import type { ErrorKind } from '../errors.ts';
import type { SegmentPlan, WrittenSegment } from '../segment/index.ts';

export type ToSealer = { walPath: string; plans: readonly SegmentPlan[] };
export type FromSealer = { segments: WrittenSegment[] } | { error: { kind: ErrorKind; message: string } };
