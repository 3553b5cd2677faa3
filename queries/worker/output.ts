import { createReadStream, write } from 'node:fs';
import { promisify } from 'node:util';

/** The pipe to the service; DuckDB opens the same one by this name. */
export const OUTPUT_PATH = '/dev/stdout';
const OUTPUT_FD = 1;
const FLUSH_BYTES = 256 * 1024;
const writeSome = promisify(write);

/** Buffered writing to the pipe. A full pipe makes it wait, and with it the job. */
export class Output {
  #text = '';
  #sentBytes = 0;

  /** What has left so far. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Takes text; returns a promise only when it is time to wait. */
  add(text: string): Promise<void> | undefined {
    this.#text += text;
    return this.#text.length >= FLUSH_BYTES ? this.flush() : undefined;
  }

  async flush(): Promise<void> {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    await this.bytes(bytes);
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    let sent = 0;
    while (sent < bytes.length)
      sent += (await writeSome(OUTPUT_FD, bytes, sent, bytes.length - sent, null)).bytesWritten;
    this.#sentBytes += sent;
  }

  async file(path: string): Promise<void> {
    for await (const chunk of createReadStream(path, { highWaterMark: FLUSH_BYTES })) await this.bytes(chunk as Buffer);
  }
}
