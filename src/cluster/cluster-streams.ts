import { AXIOMS, AXIOMS_HIGH, COMPLIANCE_GROUP, JOURNAL_GROUP, journalStream } from './redis/index.ts';

/** A stream of the service with the group that does its work. Other groups may read it too, at their own pace. */
export type ClusterStream = {
  /** What operators call it: `axioms`, `axioms-high`, `journal-<partition>`. */
  name: string;
  stream: string;
  group: string;
  /** Only of a stream of events. */
  partition: number | undefined;
};

/** The streams of signals; the one that is looked at first comes first. */
export const AXIOM_STREAMS: readonly ClusterStream[] = [
  { name: 'axioms-high', stream: AXIOMS_HIGH, group: COMPLIANCE_GROUP, partition: undefined },
  { name: 'axioms', stream: AXIOMS, group: COMPLIANCE_GROUP, partition: undefined },
];

/** All streams that work goes through; the dead letters are none of them. */
export function clusterStreams(partitions: number): ClusterStream[] {
  const journals = Array.from({ length: partitions }, (_, partition) => ({
    name: `journal-${partition}`,
    stream: journalStream(partition),
    group: JOURNAL_GROUP,
    partition,
  }));
  return [...AXIOM_STREAMS, ...journals];
}
