/** Processor time of processes and all their descendants, from /proc. */
import { descendants, statFields } from './process-tree.ts';

/** The unit of /proc/<pid>/stat: 100 a second on every Linux that Node runs on (sysconf(_SC_CLK_TCK)). */
const TICKS_A_SECOND = 100;
/** utime, stime, and cutime and cstime of the children that have ended and were waited for: fields 14 to 17 of proc(5). */
const TIMES = [11, 12, 13, 14];

/** Seconds that the trees under these processes have used so far, in user and kernel. */
export function processorSeconds(roots: readonly number[]): number {
  let ticks = 0;
  for (const pid of descendants(roots)) {
    const fields = statFields(pid);
    for (const index of TIMES) ticks += Number(fields?.[index] ?? 0);
  }
  return ticks / TICKS_A_SECOND;
}
