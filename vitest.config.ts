import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    // DuckDB brings threads of its own: more workers than this only makes the suites wait for each other.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // An empty run is a failure: a filter that matches nothing must not look green.
    passWithNoTests: false,
  },
});
