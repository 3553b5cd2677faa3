import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterProcess } from '../support/cluster-processes.ts';
import type { Call } from '../support/service-client.ts';

const REQUEST_MS = 15_000;
const RETRY_MS = 200;

/** What became of the requests of all senders. */
export type Sent = {
  requests: number;
  /** Answers that were no 2xx, by status; `lost`: no answer. */
  failures: Record<string, number>;
};

/** What is sent one request after the other, so that it stays in order. */
export type Lane = { path: string; workspace: string; bodies: readonly string[] };

/** Clients that send until they are told that it was taken, to one web after the other. */
export class Senders {
  readonly sent: Sent = { requests: 0, failures: {} };
  readonly #webs: () => readonly ClusterProcess[];
  #turn = 0;

  constructor(webs: () => readonly ClusterProcess[]) {
    this.#webs = webs;
  }

  /** The bodies of a lane in their order, with a pause after each. @throws where one is refused for good */
  async sendLane({ path, workspace, bodies }: Lane, pauseMs: number): Promise<void> {
    for (const body of bodies) {
      await this.send(path, {
        workspace,
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/x-ndjson' },
      });
      await sleep(pauseMs);
    }
  }

  /** Sends it until it is taken. @returns the answer. @throws where it is refused for good */
  async send(path: string, call: Call): Promise<Record<string, unknown>> {
    for (;;) {
      const failure = await this.#try(path, call);
      if (failure.answer !== undefined) return failure.answer;
      this.sent.failures[failure.cause] = (this.sent.failures[failure.cause] ?? 0) + 1;
      await sleep(failure.waitMs);
    }
  }

  async #try(
    path: string,
    call: Call,
  ): Promise<{ answer: Record<string, unknown> } | { answer?: undefined; cause: string; waitMs: number }> {
    const webs = this.#webs();
    const web = webs[this.#turn++ % webs.length];
    if (web === undefined) return { cause: 'lost', waitMs: RETRY_MS };
    let text: string;
    let response: Response;
    try {
      response = await web.call(path, { ...call, signal: AbortSignal.timeout(REQUEST_MS) });
      text = await response.text();
    } catch {
      return { cause: 'lost', waitMs: RETRY_MS };
    }
    if (response.ok) {
      this.sent.requests += 1;
      return { answer: JSON.parse(text) };
    }
    if (response.status !== 429 && response.status !== 503) throw new Error(`${path}: ${response.status} ${text}`);
    const waitMs = Number(response.headers.get('retry-after') ?? 0) * 1_000;
    return { cause: String(response.status), waitMs: Math.max(waitMs, RETRY_MS) };
  }
}

/** Lines in bodies of so many. */
export function bodiesOf(lines: readonly string[], perBody: number): string[] {
  const count = Math.ceil(lines.length / perBody);
  return Array.from({ length: count }, (_, index) => lines.slice(index * perBody, (index + 1) * perBody).join('\n'));
}
