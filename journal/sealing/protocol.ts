import type { ErrorKind } from '../errors.ts';
import type { SegmentPlan, WalSource, WrittenSegment } from '../segment/index.ts';

export type ToSealer = { wal: WalSource; plans: readonly SegmentPlan[] };
export type FromSealer = { segments: WrittenSegment[] } | { error: { kind: ErrorKind; message: string } };
