import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { s3ServerPath } from '../../scripts/s3-server.mjs';

const HOST = '127.0.0.1';

/** A real S3 server on loopback. It keeps its objects when it is killed. */
export class S3Server {
  readonly dir = mkdtempSync(join(tmpdir(), 'indelible-s3-'));
  readonly endpoint: string;
  readonly port: number;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
    this.endpoint = `http://${HOST}:${port}`;
  }

  static async start(): Promise<S3Server> {
    const server = new S3Server(await freePort());
    for (const name of ['objects', 'versions']) mkdirSync(join(server.dir, name));
    await server.startAgain();
    return server;
  }

  /** What an S3 client of the tests needs to know. The credentials are in the environment of all tests. */
  client(): S3Client {
    return new S3Client({ endpoint: this.endpoint, forcePathStyle: true, maxAttempts: 1 });
  }

  async makeBucket(options: { objectLock?: boolean } = {}): Promise<string> {
    const bucket = `bucket-${randomUUID()}`;
    const client = this.client();
    await client.send(
      new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: options.objectLock ?? false }),
    );
    client.destroy();
    return bucket;
  }

  /** Starts it over the same objects, on the same port. */
  async startAgain(): Promise<void> {
    const args = ['--quiet', '--port', `${HOST}:${this.port}`, 'posix'];
    args.push('--versioning-dir', join(this.dir, 'versions'), join(this.dir, 'objects'));
    const env = {
      ROOT_ACCESS_KEY: process.env.AWS_ACCESS_KEY_ID,
      ROOT_SECRET_KEY: process.env.AWS_SECRET_ACCESS_KEY,
    };
    const child = spawn(s3ServerPath(), args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    this.#process = child;
    const isUp = await Promise.race([
      reachable(this.port, () => child.exitCode === null).then(() => true),
      new Promise<boolean>((resolve) => child.once('exit', () => resolve(false))),
    ]);
    if (!isUp) throw new Error(`the S3 server ended: ${said}`);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, HOST, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Resolves when somebody listens. */
async function reachable(port: number, isWanted: () => boolean): Promise<void> {
  while (isWanted()) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, HOST, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => setTimeout(resolve, 10, false));
    });
    if (isOpen) return;
  }
}
