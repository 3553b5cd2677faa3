import { type AppendResult, type ErrorKind, type FieldError, IndelibleError } from '../../../journal/index.ts';

/** What a worker answers to whoever waits for a commit, as JSON (docs/format.md, "Redis"). */
type ReplyText =
  | { result: AppendResult }
  | { error: { kind: ErrorKind; message: string; errors: readonly FieldError[]; retryAfterS?: number } };

export function doneText(result: AppendResult): string {
  return JSON.stringify({ result } satisfies ReplyText);
}

export function refusedText(error: Error): string {
  if (!(error instanceof IndelibleError)) {
    return JSON.stringify({ error: { kind: 'invalid', message: error.message, errors: [] } } satisfies ReplyText);
  }
  const { kind, message, errors, retryAfterS } = error;
  const more = retryAfterS === undefined ? {} : { retryAfterS };
  return JSON.stringify({ error: { kind, message, errors, ...more } } satisfies ReplyText);
}

/** @throws what the worker refused it with */
export function resultOf(text: string): AppendResult {
  const reply = JSON.parse(text) as ReplyText;
  if ('result' in reply) return reply.result;
  const { kind, message, ...more } = reply.error;
  throw new IndelibleError(kind, message, more);
}
