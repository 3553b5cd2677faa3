import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    globalSetup: ['test/support/install-s3-server.ts', 'test/support/install-redis-server.ts'],
    // Of the S3 server that the tests start; and nothing of the developer's own AWS configuration.
    env: {
      AWS_ACCESS_KEY_ID: 'indelible',
      AWS_SECRET_ACCESS_KEY: 'the-secret-of-the-tests',
      AWS_REGION: 'us-east-1',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    pool: 'forks',
    // DuckDB brings threads of its own: more workers than this only makes the suites wait for each other.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // An empty run is a failure: a filter that matches nothing must not look green.
    passWithNoTests: false,
  },
});
