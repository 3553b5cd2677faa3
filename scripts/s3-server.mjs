// The S3 server that the tests talk to: versitygw, built once by Go and kept in the user's cache.
//
//   node scripts/s3-server.mjs        builds it where it is missing, and prints its path
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const MODULE = 'github.com/versity/versitygw/cmd/versitygw';
const VERSION = 'v1.8.0';

const cacheDir = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'indelible');

/** Where it is, or would be. */
export function s3ServerPath() {
  return path.join(cacheDir, `versitygw-${VERSION}`);
}

export function hasS3Server() {
  return existsSync(s3ServerPath());
}

/** The Go that is installed, here or where its own installer puts it. */
function findGo() {
  const candidates = ['go', '/usr/local/go/bin/go'];
  return candidates.find((go) => spawnSync(go, ['version'], { stdio: 'ignore' }).status === 0);
}

/**
 * Builds the server where it is missing (about a minute and a half).
 * @throws Error that says what is needed
 */
export function installS3Server() {
  if (hasS3Server()) return;
  const go = findGo();
  if (go === undefined) throw new Error('Go is needed to build the S3 server of the tests: install Go 1.25 or newer');
  process.stderr.write(`indelible: building ${MODULE}@${VERSION} (once; a minute or two)\n`);
  mkdirSync(cacheDir, { recursive: true });
  const made = mkdtempSync(path.join(cacheDir, 'build-'));
  try {
    // Without cgo it needs no C compiler.
    const env = { ...process.env, GOBIN: made, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' };
    const done = spawnSync(go, ['install', '-ldflags=-s -w', `${MODULE}@${VERSION}`], { env, stdio: ['ignore', 2, 2] });
    if (done.status !== 0) throw new Error(`${MODULE}@${VERSION} could not be built; see above`);
    renameSync(path.join(made, 'versitygw'), s3ServerPath());
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  installS3Server();
  console.log(s3ServerPath());
}
