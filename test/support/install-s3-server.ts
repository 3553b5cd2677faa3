import { installS3Server } from '../../scripts/s3-server.mjs';

/** Before the first test: what S3 tests need. Without it they are skipped, loudly, and on a build machine they fail. */
export default function setUp(): void {
  try {
    installS3Server();
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    console.warn(`\nTHE TESTS AGAINST A REAL S3 SERVER ARE SKIPPED: ${(error as Error).message}\n`);
  }
}
