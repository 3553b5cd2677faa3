import { type AiCause, AiError } from '../judging/index.ts';

/** A failure whose service said when to come back. */
export class RetryLater extends AiError {
  readonly retryAfterMs: number;

  constructor(failure: AiCause, detail: string, retryAfterMs: number) {
    super(failure, detail);
    this.retryAfterMs = retryAfterMs;
  }
}
