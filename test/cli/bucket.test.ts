import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasS3Server } from '../../scripts/s3-server.mjs';
import { S3Server } from '../support/s3-server.ts';
import { run } from './run.ts';

let server: S3Server;
let bucket: string;
let dir: string;

// reason: the S3 server could not be built here; on a build machine that fails
describe.skipIf(!hasS3Server())('a bucket that cannot be used', () => {
  beforeAll(async () => {
    server = await S3Server.start();
    bucket = await server.makeBucket();
    dir = mkdtempSync(join(tmpdir(), 'indelible-bucket-'));
  });
  afterAll(async () => {
    await server.remove();
    rmSync(dir, { recursive: true });
  });

  const secret = 'a-secret-that-is-wrong';
  const cases: [string, () => string, Record<string, string>, RegExp][] = [
    ['missing', () => 's3://no-such-bucket/x', {}, /there is no such bucket/],
    ['denied', () => `s3://${bucket}`, { AWS_SECRET_ACCESS_KEY: secret }, /access denied/],
    ['without credentials', () => `s3://${bucket}`, { AWS_ACCESS_KEY_ID: '' }, /no AWS credentials were found/],
    ['away', () => `s3://${bucket}`, { INDELIBLE_S3_ENDPOINT: 'http://127.0.0.1:1' }, /127\.0\.0\.1:1: .*ECONNREFUSED/],
  ];

  it.each(cases)('stops the start in one line: %s', async (_name, store, env, message) => {
    const args = ['serve', '--port', '0', '--data', join(dir, 'data'), '--store', store()];
    const { code, stderr } = await run(args, { cwd: dir, env: { INDELIBLE_S3_ENDPOINT: server.endpoint, ...env } });
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain(store());
    expect(stderr).not.toContain(secret);
    expect(code).toBe(1);
  });

  it('is told to whoever reads it directly', async () => {
    const env = { INDELIBLE_S3_ENDPOINT: server.endpoint };
    const missing = await run(['verify', '--store', 's3://no-such-bucket'], { cwd: dir, env });
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no such bucket') });
    const empty = await run(['verify', '--store', `s3://${bucket}/nothing`], { cwd: dir, env });
    expect(empty).toMatchObject({ code: 1, stderr: expect.stringContaining('the store holds no workspace') });
    const wrong = await run(['verify', '--store', 's3://X'], { cwd: dir, env });
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('needs the name of a bucket') });
  });
});
