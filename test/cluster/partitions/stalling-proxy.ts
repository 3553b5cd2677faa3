import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A network to Redis that can stop moving: what is sent meanwhile, and a connection's end, arrives when it moves again. */
export class StallingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isStalled = false;
  #waiting: (() => void)[] = [];

  private constructor(targetPort: number) {
    this.#server = createServer((incoming) => {
      const outgoing = connect(targetPort, '127.0.0.1');
      this.#join(incoming, outgoing);
      this.#join(outgoing, incoming);
    });
  }

  static async start(targetPort: number): Promise<StallingProxy> {
    const proxy = new StallingProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Whether something was sent that has not arrived. */
  get holdsBack(): boolean {
    return this.#waiting.length > 0;
  }

  stall(): void {
    this.#isStalled = true;
  }

  move(): void {
    this.#isStalled = false;
    for (const arrive of this.#waiting.splice(0)) arrive();
  }

  async close(): Promise<void> {
    this.move();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(from: Socket, to: Socket): void {
    const pass = (arrive: () => void) => {
      if (this.#isStalled) this.#waiting.push(arrive);
      else arrive();
    };
    this.#sockets.add(from);
    from.on('data', (bytes) => pass(() => void to.write(bytes)));
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      pass(() => void to.destroy());
    });
  }
}
