/** Which methods a path has, from keys as `GET /journal/entity/{id}`; ids may hold slashes. */
export class MethodTable {
  readonly #entries: { method: string; pattern: RegExp }[];

  constructor(routes: readonly string[]) {
    this.#entries = routes.map((route) => {
      const [method = '', path = ''] = route.split(' ');
      return { method, pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '.+')}$`) };
    });
  }

  allowed(path: string): string[] {
    const methods = this.#entries.filter((entry) => entry.pattern.test(path)).map((entry) => entry.method);
    return [...new Set(methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))];
  }
}
