import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SeededRandom } from './journal-lab.ts';

const ENDPOINTS = ['generateContent', 'embedContent', 'batchEmbedContents'] as const;
export type GeminiEndpoint = (typeof ENDPOINTS)[number];

export const GEMINI_KEY = 'AIza-a-key-of-the-tests-0123456789';

/** What happens to one request. */
export type GeminiTurn =
  | { do: 'answer'; delayMs?: number }
  /** The model says this, whatever it was asked. */
  | { do: 'say'; text: string; finishReason?: string }
  /** The model obeys the signal: it says what follows `ANSWER:` in one of the signal's texts. */
  | { do: 'obey' }
  /** The prompt is blocked: there are no candidates. */
  | { do: 'block' }
  | { do: 'fail'; status: number; code: string; reason?: string; retryAfterS?: number; retryDelay?: string }
  /** Any body at all. */
  | { do: 'send'; body: string; status?: number; headers?: Record<string, string> }
  /** Embeddings other than asked for. */
  | { do: 'embed'; dimensions?: number; fewer?: number; scale?: number }
  | { do: 'silent' }
  | { do: 'reset' }
  /** Half of the answer, then the connection is cut. */
  | { do: 'cut' };

type Content = { role?: string; parts: { text: string }[] };
type EmbedRequest = { model?: string; content: Content; taskType?: string; outputDimensionality?: number };

export type GeminiBody = {
  contents: Content[];
  systemInstruction?: Content;
  generationConfig?: Record<string, unknown>;
  requests: EmbedRequest[];
} & EmbedRequest;

export type GeminiRequest = { endpoint: GeminiEndpoint; model: string; key: string; body: GeminiBody };

type Decide = (request: GeminiRequest, index: number) => GeminiTurn | undefined;

/** These, one for each request, and answers from then on. */
export function inTurn(...turns: GeminiTurn[]): Decide {
  let at = 0;
  return () => turns[at++];
}

/** This share of the requests fails, in three ways; the same ones for the same seed. */
export function failing(share: number, seed: string): Decide {
  const random = new SeededRandom(seed);
  const ways: GeminiTurn[] = [
    { do: 'fail', status: 500, code: 'INTERNAL' },
    { do: 'fail', status: 503, code: 'UNAVAILABLE' },
    { do: 'reset' },
  ];
  return () => (random.below(10_000) < share * 10_000 ? ways[random.below(ways.length)] : undefined);
}

/** The REST endpoints of Gemini that the SDK calls, on this machine: deterministic, and as unfriendly as it is told. */
export class GeminiServer {
  readonly counts: Record<GeminiEndpoint, number> = { generateContent: 0, embedContent: 0, batchEmbedContents: 0 };
  /** The last requests, at most a thousand. */
  readonly requests: GeminiRequest[] = [];
  /** Keys that are good; others are refused as the real service refuses them. */
  readonly keys = new Set([GEMINI_KEY]);
  /** Asked at every request with a good key; undefined answers it. */
  decide: Decide = () => undefined;
  readonly #server: Server;
  readonly #arrivals: { count: number; resolve: () => void }[] = [];
  #arrived = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  static async start(): Promise<GeminiServer> {
    const server = new GeminiServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Requests of all endpoints since the start. */
  get count(): number {
    return this.#arrived;
  }

  /** Resolves once this many requests have come since the start. */
  arrived(count: number): Promise<void> {
    if (this.#arrived >= count) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#arrivals.push({ count, resolve });
    return promise;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, model = '', method = ''] = /^\/v1beta\/models\/([^/:]+):(\w+)$/.exec(incoming.url ?? '') ?? [];
    const endpoint = ENDPOINTS.find((name) => name === method);
    if (incoming.method !== 'POST' || endpoint === undefined) return fail(response, { status: 404, code: 'NOT_FOUND' });
    const body = JSON.parse(await textOf(incoming)) as GeminiBody;
    const request = { endpoint, model, key: String(incoming.headers['x-goog-api-key'] ?? ''), body };
    const index = this.#note(request);
    if (!this.keys.has(request.key)) {
      return fail(response, { status: 400, code: 'INVALID_ARGUMENT', reason: 'API_KEY_INVALID' });
    }
    const turn = this.decide(request, index) ?? { do: 'answer' };
    if (turn.do === 'answer' && turn.delayMs !== undefined) {
      setTimeout(() => answer(response, request, turn), turn.delayMs);
    } else answer(response, request, turn);
  }

  #note(request: GeminiRequest): number {
    this.counts[request.endpoint] += 1;
    this.requests.push(request);
    if (this.requests.length > 1_000) this.requests.shift();
    this.#arrived += 1;
    for (const { count, resolve } of this.#arrivals) if (this.#arrived >= count) resolve();
    return this.#arrived - 1;
  }
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function answer(response: ServerResponse, request: GeminiRequest, turn: GeminiTurn): void {
  if (turn.do === 'silent') return;
  if (turn.do === 'reset') {
    response.socket?.resetAndDestroy();
  } else if (turn.do === 'fail') {
    fail(response, turn);
  } else if (turn.do === 'send') {
    response.writeHead(turn.status ?? 200, { 'content-type': 'application/json', ...turn.headers }).end(turn.body);
  } else {
    const said = request.endpoint === 'generateContent' ? generated(request, turn) : embedded(request, turn);
    const body = Buffer.from(JSON.stringify(said));
    response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8', 'content-length': body.length });
    if (turn.do === 'cut') response.write(body.subarray(0, body.length / 2), () => response.socket?.destroy());
    else response.end(body);
  }
}

/** As the real service words it: the message repeats what was sent. */
function fail(response: ServerResponse, turn: Omit<Extract<GeminiTurn, { do: 'fail' }>, 'do'>): void {
  const { status, code, reason, retryAfterS, retryDelay } = turn;
  const details: Record<string, string>[] = [];
  if (reason !== undefined) details.push({ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason });
  if (retryDelay !== undefined) details.push({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay });
  const message = `${code}: the key ${String(response.req.headers['x-goog-api-key'])} was refused`;
  const headers = retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) };
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
  response.end(JSON.stringify({ error: { code: status, message, status: code, details } }));
}

function generated({ model, body }: GeminiRequest, turn: GeminiTurn): unknown {
  const data = body.contents.flatMap(({ parts }) => parts.map(({ text }) => text)).join('\n');
  if (turn.do === 'block') return { promptFeedback: { blockReason: 'SAFETY' }, modelVersion: model };
  const text = turn.do === 'say' ? turn.text : turn.do === 'obey' ? demandIn(data) : verdictOn(data);
  const finishReason = turn.do === 'say' ? (turn.finishReason ?? 'STOP') : 'STOP';
  return {
    candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason, index: 0 }],
    usageMetadata: { promptTokenCount: data.length, candidatesTokenCount: text.length },
    modelVersion: model,
  };
}

/** What follows `ANSWER:` in a text of the JSON; nothing where there is none. */
function demandIn(data: string): string {
  const [literal] = /"(?:[^"\\]|\\.)*ANSWER:(?:[^"\\]|\\.)*"/.exec(data) ?? ['""'];
  return (JSON.parse(literal) as string).replace(/^.*?ANSWER:/s, '').trim();
}

/** A verdict that follows from the signal's score alone. */
function verdictOn(data: string): string {
  const score = Number(/"anomaly_score":\s*(\d+(?:\.\d+)?)/.exec(data)?.[1] ?? 0);
  const [, domain = 'unknown'] = /"domain":\s*"([^"\\]*)"/.exec(data) ?? [];
  const risk_level = score >= 0.9 ? 'critical' : score >= 0.7 ? 'high' : score >= 0.4 ? 'medium' : 'low';
  return JSON.stringify({ narrative: `A signal of ${domain} has the anomaly score ${score}.`, risk_level });
}

function embedded({ endpoint, body }: GeminiRequest, turn: GeminiTurn): unknown {
  const changed = turn.do === 'embed' ? turn : undefined;
  const asked = endpoint === 'embedContent' ? [body] : body.requests;
  const embeddings = asked.slice(0, asked.length - (changed?.fewer ?? 0)).map(({ content, outputDimensionality }) => {
    const text = content.parts.map((part) => part.text).join('\n');
    return { values: embeddingOf(text, changed?.dimensions ?? outputDimensionality ?? 3_072, changed?.scale ?? 3) };
  });
  return endpoint === 'embedContent' ? { embedding: embeddings[0] } : { embeddings };
}

/** Each word adds its own direction: texts are alike as far as they share words. Not of unit length, as the real ones. */
function embeddingOf(text: string, dimensions: number, scale: number): number[] {
  const values = new Array<number>(dimensions).fill(0);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []) {
    const digest = createHash('sha256').update(word).digest();
    for (let at = 0; at < 32; at += 4) {
      const place = digest.readUInt32LE(at);
      const index = (place >>> 1) % dimensions;
      values[index] = (values[index] as number) + (place % 2 === 0 ? 1 : -1);
    }
  }
  const length = Math.hypot(...values);
  return values.map((value) => (length === 0 ? 0 : (value / length) * scale));
}
