/** Pure: whether to try again, and when. */
export type RetryPolicy = {
  /** Tries of one request, the first included. */
  attemptsMax: number;
  /** No new try begins later than this after the first. */
  totalMs: number;
  firstDelayMs: number;
  delayMsMax: number;
  /** Whether to try again where no answer came. */
  networkErrors: boolean;
};

export const RETRY_DEFAULTS: RetryPolicy = {
  attemptsMax: 8,
  totalMs: 60_000,
  firstDelayMs: 100,
  delayMsMax: 10_000,
  networkErrors: true,
};

export const RETRIED_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/**
 * Milliseconds until the next try, or undefined: give up. Exponential with jitter between half and the whole of the
 * step, so that clients which failed together do not return together; never earlier than the service asked for.
 */
export function nextDelayMs(
  policy: RetryPolicy,
  attempt: { triesMade: number; elapsedMs: number; retryAfterMs: number | undefined; fraction: number },
): number | undefined {
  if (attempt.triesMade >= policy.attemptsMax) return undefined;
  const stepMs = Math.min(policy.delayMsMax, policy.firstDelayMs * 2 ** (attempt.triesMade - 1));
  const jitteredMs = stepMs * (0.5 + attempt.fraction / 2);
  const delayMs = Math.ceil(Math.max(jitteredMs, attempt.retryAfterMs ?? 0));
  return attempt.elapsedMs + delayMs > policy.totalMs ? undefined : delayMs;
}

/** Retry-After (RFC 9110): seconds or an HTTP date. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
