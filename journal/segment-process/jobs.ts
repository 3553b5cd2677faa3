import type { Engine } from '../duckdb/index.ts';
import {
  type PartJob,
  type SegmentPlan,
  type Survey,
  type SurveyJob,
  surveySegments,
  type WalSource,
  type WrittenPart,
  type WrittenSegment,
  writePart,
  writeSegments,
} from '../segment/index.ts';

/** The heavy work on segments, done in this process or in one of its own. */
export interface SegmentJobs {
  /** Turns a closed WAL file into segments. @throws as writeSegments does. */
  seal(wal: WalSource, plans: readonly SegmentPlan[]): Promise<WrittenSegment[]>;
  /** What segments that are to be merged hold. */
  survey(job: SurveyJob): Promise<Survey>;
  /** Writes one part of a merged run. */
  writePart(job: PartJob): Promise<WrittenPart>;
  /** Gives up what is under way. */
  close(): void;
}

export function inThisProcess(engine: Engine): SegmentJobs {
  return {
    seal: (wal, plans) => writeSegments(engine, wal, plans),
    survey: (job) => surveySegments(engine, job),
    writePart: (job) => writePart(engine, job),
    // A statement of this process ends by itself.
    close: () => {},
  };
}
