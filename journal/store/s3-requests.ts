import { setTimeout as pause } from 'node:timers/promises';
import { S3ServiceException } from '@aws-sdk/client-s3';
import { IndelibleError } from '../errors.ts';

/** How long one request may take, and how often one that failed is sent again. */
export type S3Limits = {
  /** Of one request without its answer's body, and of silence while a body arrives. */
  timeoutMs: number;
  /** In all. */
  attemptsMax: number;
  /** Before the second attempt; doubles from there. */
  firstDelayMs: number;
};

export const S3_LIMITS: S3Limits = { timeoutMs: 30_000, attemptsMax: 4, firstDelayMs: 200 };

/** The store answered, but with less or other bytes than it said. */
export class DamagedAnswerError extends Error {
  override readonly name = 'DamagedAnswerError';
}

export function isNamed(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

/**
 * Whether the same request may succeed later. Everything that is no clear answer counts: a reset, a timeout, a server's
 * failure, and then it may also have been carried out.
 */
export function isTransient(error: unknown): boolean {
  if (error instanceof IndelibleError) return false;
  if (!(error instanceof S3ServiceException)) return !isNamed(error, 'CredentialsProviderError');
  const status = error.$metadata.httpStatusCode ?? 0;
  // A 200 that holds an error is one of the server's own.
  return status < 300 || status >= 500 || status === 408 || status === 429;
}

/** Runs `attempt` until it gives an answer, and what it throws last where it never does. */
export async function retried<T>(limits: S3Limits, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  for (let number = 1; ; number++) {
    try {
      return await attempt(AbortSignal.timeout(limits.timeoutMs));
    } catch (error) {
      if (number >= limits.attemptsMax || !isTransient(error)) throw error;
      await pause(delayMs(limits, number));
    }
  }
}

/** Before the attempt after this one. */
export function delayMs(limits: S3Limits, number: number): number {
  return limits.firstDelayMs * 2 ** (number - 1);
}

/** What failed, where and why. Never the error itself: some of them carry the signed request. */
export function unavailable(what: string, where: string, error: unknown): IndelibleError {
  if (error instanceof IndelibleError) return error;
  return new IndelibleError('unavailable', `${where}: ${what}: ${reasonOf(error)}`, { retryAfterS: 5 });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (isNamed(error, 'NoSuchBucket')) return 'there is no such bucket';
  if (isNamed(error, 'CredentialsProviderError'))
    return 'no AWS credentials were found (AWS_ACCESS_KEY_ID, AWS_PROFILE)';
  if (isNamed(error, 'AbortError', 'TimeoutError')) return 'no answer in time';
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof S3ServiceException) {
    const status = error.$metadata.httpStatusCode ?? 0;
    const denied = status === 403 ? 'access denied: ' : '';
    return `${denied}${error.name} (${status})`;
  }
  return code === undefined ? error.message : `${code} ${error.message}`.trim();
}
