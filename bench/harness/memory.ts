/**
 * Peak resident memory of a process and all its descendants, sampled from /proc.
 *
 * Private and file-backed pages are summed; shared memory (PostgreSQL's buffers, mapped by every backend) counts once,
 * at the largest share any one process has touched.
 */
import { readFileSync } from 'node:fs';
import { descendants } from './process-tree.ts';

/** Walking /proc takes milliseconds: more often would take from what is measured. */
const SAMPLE_MS = 250;

function kibibytes(status: string, key: string): number {
  const found = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status);
  return found ? Number(found[1]) : 0;
}

/** Resident bytes of the trees under these processes now. */
export function residentBytes(roots: readonly number[]): number {
  let own = 0;
  let shared = 0;
  for (const pid of descendants(roots)) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1');
      own += kibibytes(status, 'RssAnon') + kibibytes(status, 'RssFile');
      shared = Math.max(shared, kibibytes(status, 'RssShmem'));
    } catch {
      // It ended between the listing and the read.
    }
  }
  return (own + shared) * 1024;
}

/** The most that one process has ever had resident, by the kernel's own account. */
export function highWaterBytes(pid: number): number {
  return kibibytes(readFileSync(`/proc/${pid}/status`, 'latin1'), 'VmHWM') * 1024;
}

/** Starts sampling; the returned function stops it and gives the peak in bytes. */
export function watchMemory(roots: readonly number[]): () => number {
  let peak = residentBytes(roots);
  const timer = setInterval(() => {
    peak = Math.max(peak, residentBytes(roots));
  }, SAMPLE_MS);
  return () => {
    clearInterval(timer);
    return Math.max(peak, residentBytes(roots));
  };
}
