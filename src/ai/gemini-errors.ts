import { z } from 'zod';
import { type AiCause, AiError } from '../judging/index.ts';
import { RetryLater } from './retry-later.ts';

/**
 * What goes wrong between us and Gemini, as one AiCause each. The details are words of ours and codes of fixed lists:
 * what the service or the SDK says may repeat the key, the prompt or the signal, so none of it is passed on, not even as
 * the error's cause.
 */

/** Of google.rpc.Code, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
const RPC_CODES = new Set([
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
]);

const detailSchema = z.object({
  '@type': z.string(),
  reason: z.string().optional(),
  retryDelay: z.string().optional(),
});

/** google.rpc.Status as the REST endpoints send it; what is not as expected is taken as absent. */
const errorSchema = z.object({
  error: z.object({
    status: z.string().optional().catch(undefined),
    details: z.array(detailSchema.catch({ '@type': '' })).catch([]),
  }),
});

/** The failure that an HTTP answer other than 2xx stands for. */
export function errorOfResponse(status: number, retryAfter: string | null, body: string): AiError {
  const { code, details } = readError(body);
  const isBadKey = details.some(({ reason }) => reason === 'API_KEY_INVALID' || reason === 'API_KEY_SERVICE_BLOCKED');
  const detail = `HTTP ${status}${code === undefined ? '' : ` ${code}`}`;
  const cause = isBadKey ? 'unauthorized' : causeOfStatus(status);
  const retryAfterMs = longest(secondsMs(retryAfter), ...details.map(({ retryDelay }) => durationMs(retryDelay)));
  if (retryAfterMs === undefined) return new AiError(cause, detail);
  return new RetryLater(cause, detail, retryAfterMs);
}

/** The failure of a connection: nothing came, or not the whole of it. */
export function errorOfConnection(error: unknown): AiError {
  const code = errorCode(error);
  return new AiError('unreachable', `the connection failed${code === undefined ? '' : ` (${code})`}`);
}

function causeOfStatus(status: number): AiCause {
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 429) return 'rate-limited';
  if (status === 408 || status === 504) return 'timeout';
  return status >= 500 ? 'server-error' : 'refused';
}

function readError(body: string): { code: string | undefined; details: z.infer<typeof detailSchema>[] } {
  const read = errorSchema.safeParse(parsed(body));
  if (!read.success) return { code: undefined, details: [] };
  const { status, details } = read.data.error;
  return { code: status !== undefined && RPC_CODES.has(status) ? status : undefined, details };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Retry-After in seconds. Its other form, a date, would need the service's clock to agree with ours. */
function secondsMs(text: string | null): number | undefined {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : undefined;
}

/** google.protobuf.Duration as JSON: `12s`, `0.5s`. */
function durationMs(text: string | undefined): number | undefined {
  const seconds = text === undefined ? null : /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(text);
  return seconds === null ? undefined : Math.ceil(Number(seconds[1]) * 1_000);
}

function longest(...times: (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** A code of Node's or undici's; fetch puts it one level down. */
function errorCode(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at ? at.code : undefined;
    if (typeof code === 'string' && /^(E[A-Z]{2,20}|UND_ERR_[A-Z_]{1,40})$/.test(code)) return code;
  }
  return undefined;
}
