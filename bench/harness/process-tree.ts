/** Processes with all their descendants, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** What is behind the name in /proc/<pid>/stat: the fields from the third on (proc(5)); undefined: it has ended. */
export function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function parents(): Map<number, number> {
  const result = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const fields = statFields(pid);
    if (fields) result.set(pid, Number(fields[1]));
  }
  return result;
}

/** The roots, too. */
export function descendants(roots: readonly number[]): Set<number> {
  const parentOf = parents();
  const tree = new Set(roots);
  for (let grew = true; grew; ) {
    grew = false;
    for (const [pid, parent] of parentOf) {
      if (tree.has(pid) || !tree.has(parent)) continue;
      tree.add(pid);
      grew = true;
    }
  }
  return tree;
}
