import { abortedError } from './errors.ts';

/** Time, passed in so that tests decide it. */
export interface Timer {
  nowMs(): number;
  /** Runs `work` once, later; the answer cancels it. */
  after(delayMs: number, work: () => void): () => void;
}

export const systemTimer: Timer = {
  nowMs: () => Date.now(),
  after: (delayMs, work) => {
    const handle = setTimeout(work, delayMs);
    return () => clearTimeout(handle);
  },
};

/** @throws IndelibleClientError aborted */
export function sleep(timer: Timer, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortedError(signal));
      return;
    }
    const onAbort = () => {
      cancel();
      reject(abortedError(signal));
    };
    const cancel = timer.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
