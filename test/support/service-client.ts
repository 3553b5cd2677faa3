export const OPERATOR_KEY = 'the-operator-key-of-the-e2e-tests';

export type Call = Omit<RequestInit, 'headers'> & {
  key?: string;
  /** null: names none. */
  workspace?: string | null;
  headers?: Record<string, string>;
};

/** Requests to a real service, with the operator's key where nothing else is said. */
export abstract class ServiceClient {
  abstract get url(): string;

  call(path: string, { key = OPERATOR_KEY, workspace = 'acme', headers = {}, ...init }: Call = {}): Promise<Response> {
    const named: Record<string, string> = workspace === null ? {} : { 'X-Workspace': workspace };
    return fetch(this.url + path, { ...init, headers: { Authorization: `Bearer ${key}`, ...named, ...headers } });
  }

  /** The JSON of an answer that must be a good one. */
  async json<T = Record<string, unknown>>(path: string, call: Call = {}): Promise<T> {
    const answer = await this.call(path, call);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${call.method ?? 'GET'} ${path}: ${answer.status} ${text.slice(0, 1000)}`);
    return JSON.parse(text) as T;
  }

  post<T = Record<string, unknown>>(path: string, body: unknown, call: Call = {}): Promise<T> {
    const headers = { 'Content-Type': 'application/json', ...call.headers };
    return this.json<T>(path, { method: 'POST', body: JSON.stringify(body), ...call, headers });
  }
}
