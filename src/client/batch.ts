import { IndelibleClientError } from './errors.ts';
import type { PendingEvent } from './recorder.ts';
import type { Problem } from './types.ts';

/** Sends NDJSON lines as one all-or-nothing request; resolves with a receipt for each. @throws IndelibleClientError */
export type SendLines<R> = (lines: readonly string[]) => Promise<readonly R[]>;

/** The service refused these for what they hold, so a smaller or other batch may pass. */
const CONTENT_STATUSES: ReadonlySet<number | undefined> = new Set([400, 409, 413, 422]);

/**
 * Settles every event of a batch. A batch is all or nothing: where the service refuses it because of some events, those
 * are rejected, each with its own faults, and the others are sent again. Where it does not say which, the batch is halved.
 */
export async function settleBatch<R>(batch: readonly PendingEvent<R>[], send: SendLines<R>): Promise<void> {
  const todo: (readonly PendingEvent<R>[])[] = [batch];
  for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
    try {
      resolveAll(part, await send(part.map((pending) => pending.line)));
    } catch (error) {
      todo.unshift(...rejectGuilty(part, error));
    }
  }
}

function resolveAll<R>(part: readonly PendingEvent<R>[], receipts: readonly R[]): void {
  for (const [i, pending] of part.entries()) {
    const receipt = receipts[i];
    if (receipt && receipts.length === part.length) pending.resolve(receipt);
    else {
      const message = `sent ${part.length} events, got ${receipts.length} receipts`;
      pending.reject(new IndelibleClientError('protocol', message));
    }
  }
}

/** Rejects the events that the error blames; the answer is what to send next, in order. */
function rejectGuilty<R>(part: readonly PendingEvent<R>[], error: unknown): (readonly PendingEvent<R>[])[] {
  const refusal = error instanceof IndelibleClientError && CONTENT_STATUSES.has(error.status) ? error : undefined;
  if (!refusal || part.length === 1) {
    for (const pending of part) pending.reject(error);
    return [];
  }
  const faults = faultsByEvent(refusal.problem, part.length);
  if (faults.size === 0) {
    const middle = Math.ceil(part.length / 2);
    return [part.slice(0, middle), part.slice(middle)];
  }
  for (const [index, errors] of faults) {
    const problem = {
      ...refusal.problem,
      detail: errors.map((e) => `${e.pointer} ${e.message}`.trim()).join('; '),
      errors,
    };
    part[index]?.reject(
      new IndelibleClientError('refused', problem.detail, { status: refusal.status, problem, cause: refusal }),
    );
  }
  const rest = part.filter((_, index) => !faults.has(index));
  return rest.length > 0 ? [rest] : [];
}

/** The faults by position in the batch, with pointers into the event itself. */
function faultsByEvent(
  problem: Problem | undefined,
  count: number,
): Map<number, { pointer: string; message: string }[]> {
  const faults = new Map<number, { pointer: string; message: string }[]>();
  for (const error of Array.isArray(problem?.errors) ? problem.errors : []) {
    const match = /^\/(\d{1,6})(\/.*)?$/.exec(String(error?.pointer));
    const index = Number(match?.[1] ?? Number.NaN);
    if (!match || index >= count) continue;
    const own = faults.get(index) ?? [];
    own.push({ pointer: match[2] ?? '', message: String(error.message) });
    faults.set(index, own);
  }
  return faults;
}
