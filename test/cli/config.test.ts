import { expect, test } from 'vitest';
import { ConfigError, loadConfig, rolesOf } from '../../src/config.ts';
import { environmentName, flagName, SETTINGS, type Setting, settingsTable } from '../../src/settings.ts';

const NOTHING = { env: {}, flags: {}, file: undefined };

test('the defaults of the documentation', () => {
  expect(loadConfig(NOTHING)).toMatchObject({ host: '127.0.0.1', port: 8080, data: './data', store: './data/store' });
  expect(loadConfig(NOTHING)).toMatchObject({ flushEvents: 100_000, flushBytes: 64 * 2 ** 20, takeOver: false });
});

test('file < environment < flag', () => {
  const file = '{"port": 1, "host": "f", "data": "fd"}';
  const env = { INDELIBLE_PORT: '2', INDELIBLE_HOST: 'e' };
  expect(loadConfig({ file, env, flags: { port: '3' } })).toMatchObject({
    port: 3,
    host: 'e',
    data: 'fd',
    store: 'fd/store',
  });
});

test('every setting has a variable, a flag and a row in the table', () => {
  for (const setting of SETTINGS) {
    const { key } = setting;
    expect(settingsTable()).toContain(`| \`${environmentName(setting)}\` | \`${flagName(key)}\` | \`${key}\` |`);
  }
  const nameOf = (key: Setting['key']) => SETTINGS.filter((setting) => setting.key === key).map(environmentName);
  expect(nameOf('walBytesMax')).toEqual(['INDELIBLE_WAL_BYTES_MAX']);
  expect(nameOf('geminiApiKey')).toEqual(['GEMINI_API_KEY']);
  expect(flagName('walBytesMax')).toBe('--wal-bytes-max');
});

test('a name that other programs use as well may be there and empty', () => {
  expect(loadConfig({ ...NOTHING, env: { GEMINI_API_KEY: '' } }).geminiApiKey).toBeUndefined();
  expect(loadConfig({ ...NOTHING, env: { GEMINI_API_KEY: 'k' } }).geminiApiKey).toBe('k');
});

test.each([
  ['64MiB', 67_108_864],
  ['67108864', 67_108_864],
  ['1 GiB', 1_073_741_824],
])('%s is %i bytes', (text, bytes) => {
  const env = { INDELIBLE_FLUSH_BYTES: text, INDELIBLE_WAL_BYTES_MAX: '4GiB' };
  expect(loadConfig({ ...NOTHING, env }).flushBytes).toBe(bytes);
});

const CLUSTER = {
  INDELIBLE_REDIS_URL: 'redis://:password@localhost:6379',
  INDELIBLE_SECRET: 'ab'.repeat(32),
  INDELIBLE_OPERATOR_KEY: 'operator-key',
  INDELIBLE_STORE: 's3://bucket/journals',
};

test('a cluster seals soon, unless it is told when; one process takes its time', () => {
  expect(loadConfig({ ...NOTHING, env: CLUSTER }).flushAgeMs).toBe(2_000);
  expect(loadConfig({ ...NOTHING, env: { ...CLUSTER, INDELIBLE_FLUSH_AGE_MS: '500' } }).flushAgeMs).toBe(500);
  expect(loadConfig(NOTHING).flushAgeMs).toBe(60_000);
  expect([...rolesOf(loadConfig({ ...NOTHING, env: { ...CLUSTER, INDELIBLE_ROLE: 'web, worker' } }))]).toEqual([
    'web',
    'worker',
  ]);
});

test.each([
  [{ INDELIBLE_PRT: '1' }, 'INDELIBLE_PRT is not a setting; did you mean INDELIBLE_PORT?'],
  [{ INDELIBLE_KAFKA_URL: 'kafka://x' }, 'INDELIBLE_KAFKA_URL is not a setting'],
  [{ INDELIBLE_REDIS_URL: 'redis://x' }, 'INDELIBLE_SECRET must be set in a cluster'],
  [{ ...CLUSTER, INDELIBLE_REDIS_URL: 'http://x' }, 'INDELIBLE_REDIS_URL must be like redis://host:6379'],
  [{ ...CLUSTER, INDELIBLE_OPERATOR_KEY: undefined }, 'INDELIBLE_OPERATOR_KEY must be set in a cluster'],
  [{ ...CLUSTER, INDELIBLE_ROLE: 'web,king' }, 'INDELIBLE_ROLE must name some of web, worker, reclaimer, compactor'],
  [{ ...CLUSTER, INDELIBLE_STORE: undefined }, 'INDELIBLE_STORE must be set in a cluster'],
  [{ INDELIBLE_ROLE: 'web' }, 'INDELIBLE_ROLE is for a cluster'],
  [{ INDELIBLE_SECRET: 'abc' }, 'INDELIBLE_SECRET must have 64 lower-case hex characters'],
  [{ INDELIBLE_PORT: '' }, 'INDELIBLE_PORT must be a whole number from 0 to 65535'],
  [{ INDELIBLE_PORT: '80a' }, 'INDELIBLE_PORT'],
  [{ INDELIBLE_PORT: '65536' }, 'INDELIBLE_PORT'],
  [{ INDELIBLE_PORT: '-1' }, 'INDELIBLE_PORT'],
  [{ INDELIBLE_PORT: '1e3' }, 'INDELIBLE_PORT'],
  [{ INDELIBLE_HOST: '' }, 'INDELIBLE_HOST must be a text'],
  [{ INDELIBLE_DATA: 'a\0b' }, 'NUL'],
  [{ INDELIBLE_LOG_LEVEL: 'loud' }, 'must be one of fatal, error'],
  [{ INDELIBLE_FLUSH_BYTES: '64MB' }, 'KiB, MiB, GiB'],
  [{ INDELIBLE_TAKE_OVER: 'yes' }, 'must be true or false'],
  [{ INDELIBLE_STORE: 'gs://bucket/prefix' }, 'INDELIBLE_STORE must be a directory or s3://BUCKET/PREFIX'],
  [{ INDELIBLE_STORE: 's3://' }, 'needs the name of a bucket'],
  [{ INDELIBLE_STORE: 's3://Bucket_/x' }, 'needs the name of a bucket'],
  [{ INDELIBLE_STORE: 's3://bucket//x' }, 'needs a prefix of'],
  [{ INDELIBLE_STORE: 's3://bucket/a b' }, 'needs a prefix of'],
  [{ INDELIBLE_S3_ENDPOINT: 'localhost:9000' }, 'INDELIBLE_S3_ENDPOINT must be an http or https address'],
  [{ INDELIBLE_S3_ENDPOINT: 'ftp://host' }, 'INDELIBLE_S3_ENDPOINT must be an http or https address'],
  [{ GOOGLE_GEMINI_BASE_URL: 'nowhere' }, 'GOOGLE_GEMINI_BASE_URL must be an http or https address'],
  [{ GEMINI_API_KEY: 'a b' }, 'GEMINI_API_KEY must have visible'],
  [{ INDELIBLE_FLUSH_BYTES: '1GiB' }, 'at least twice'],
])('%j stops the start', (env, message) => {
  expect(() => loadConfig({ ...NOTHING, env: env as Record<string, string> })).toThrow(ConfigError);
  expect(() => loadConfig({ ...NOTHING, env: env as Record<string, string> })).toThrow(message);
});

test.each([
  ['{', 'is not JSON'],
  ['[]', 'must be a JSON object'],
  ['{"prot": 1}', '"prot" is not a setting; did you mean port?'],
  ['{"port": "x"}', 'indelible.config.json: port must be a whole number'],
  ['{"port": null}', 'port'],
  ['{"host": 1}', 'host'],
])('the file %s stops the start', (file, message) => {
  expect(() => loadConfig({ ...NOTHING, file })).toThrow(ConfigError);
  expect(() => loadConfig({ ...NOTHING, file })).toThrow(message);
});

test('a mistake in a weaker source is found though a stronger one wins', () => {
  expect(() => loadConfig({ ...NOTHING, env: { INDELIBLE_PORT: 'x' }, flags: { port: '1' } })).toThrow(
    'INDELIBLE_PORT',
  );
});

test('a bad operator key is refused without being shown', () => {
  const check = () => loadConfig({ ...NOTHING, env: { INDELIBLE_OPERATOR_KEY: 'hunter2' } });
  expect(check).toThrow('INDELIBLE_OPERATOR_KEY must have 8');
  expect(check).not.toThrow('hunter2');
});

test('an endpoint with a password is refused without being shown', () => {
  const check = () => loadConfig({ ...NOTHING, env: { INDELIBLE_S3_ENDPOINT: 'https://me:hunter2@host' } });
  expect(check).toThrow('INDELIBLE_S3_ENDPOINT');
  expect(check).not.toThrow('hunter2');
});

test('a bucket with and without a prefix is a store', () => {
  for (const store of ['s3://my-bucket', 's3://my-bucket/', 's3://my-bucket/a/b.c', 's3://my-bucket/a/']) {
    expect(loadConfig({ ...NOTHING, env: { INDELIBLE_STORE: store } }).store).toBe(store);
  }
});

test('variables of others and of the client are none of its business', () => {
  expect(loadConfig({ ...NOTHING, env: { PATH: '/bin', INDELIBLE_URL: 'http://x', INDELIBLE_KEY: 'k' } }).port).toBe(
    8080,
  );
});
