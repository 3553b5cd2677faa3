import { type GenerateContentConfig, GoogleGenAI, type Models } from '@google/genai';
import { AiError } from '../judging/index.ts';
import { errorOfConnection, errorOfResponse } from './gemini-errors.ts';

/** An answer beyond this is none: a hundred embeddings of 3072 dimensions are 7 MB of JSON. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

export type GeminiConnection = {
  apiKey: string;
  /** Of the configuration, never of a workspace: whoever names it is sent the key and the signals. */
  baseUrl: string;
};

/** What each call passes to the SDK. */
export type CallConfig = Required<Pick<GenerateContentConfig, 'abortSignal' | 'httpOptions'>>;

/** The SDK, with one failure for whatever goes wrong. It makes one HTTP request for each call: retries are the guard's. */
export class GeminiClient {
  readonly #models: Models;

  constructor({ apiKey, baseUrl }: GeminiConnection) {
    // Each of these would otherwise come from an environment variable that our configuration does not know.
    this.#models = new GoogleGenAI({ apiKey, vertexai: false, apiVersion: 'v1beta', httpOptions: { baseUrl } }).models;
  }

  /** @throws AiError; where the signal aborted, its reason */
  async call<T>(ask: (models: Models, config: CallConfig) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      return await ask(this.#models, { abortSignal: signal, httpOptions: { fetch: strictFetch } });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AiError) throw error;
      // The network had its failures in `strictFetch`: what is left is an answer that the SDK cannot read.
      throw new AiError('invalid-answer', 'the answer is not of the form of this API');
    }
  }
}

/**
 * fetch for the SDK, which keeps no headers of an error: an answer other than 2xx is an error here, of which the time to
 * wait is known. Follows no redirection, which would take the key along, and reads an answer of bounded size.
 */
async function strictFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const response = await reached(fetch(input, { ...init, redirect: 'manual' }), init?.signal);
  const body = await bodyOf(response, init?.signal);
  if (!response.ok) {
    throw errorOfResponse(response.status, response.headers.get('retry-after'), body.toString('utf8'));
  }
  return new Response(body, { status: response.status, headers: response.headers });
}

async function bodyOf(response: Response, signal: AbortSignal | null | undefined): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  for (let read = await next(); read !== undefined && !read.done; read = await next()) {
    bytes += read.value.byteLength;
    if (bytes > ANSWER_BYTES_MAX) {
      await reader?.cancel().catch(() => undefined);
      throw new AiError('invalid-answer', `the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(read.value);
  }
  return Buffer.concat(chunks);

  function next() {
    return reader && reached(reader.read(), signal);
  }
}

async function reached<T>(exchange: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  try {
    return await exchange;
  } catch (error) {
    signal?.throwIfAborted();
    throw errorOfConnection(error);
  }
}
