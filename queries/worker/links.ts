import type { SnapshotFiles } from '../../journal/index.ts';
import type { Link } from './protocol.ts';

/** Its own, for these change with nearly every append. */
export const TAIL_DIR = 'tail';

/** The snapshot with its files under names that tell nothing of the server, and what they stand for. */
export function linked(files: SnapshotFiles): { files: SnapshotFiles; links: Link[] } {
  const links: Link[] = [];
  const link = (name: string, target: string): string => {
    links.push({ name, target });
    return name;
  };
  const segments = files.segments.map((segment, index) => ({
    ...segment,
    path: link(`journal/${index}.parquet`, segment.path),
  }));
  const tail = files.tail.map((path, index) => link(`${TAIL_DIR}/${index}.ndjson`, path));
  return { files: { ...files, segments, tail }, links };
}
