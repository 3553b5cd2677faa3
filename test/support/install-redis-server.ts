import { installRedisServer } from '../../scripts/redis-server.mjs';

/** Before the first test: what Redis tests need. Without it they are skipped, loudly, and on a build machine they fail. */
export default function setUp(): void {
  try {
    installRedisServer();
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    console.warn(`\nTHE TESTS AGAINST A REAL REDIS ARE SKIPPED: ${(error as Error).message}\n`);
  }
}
