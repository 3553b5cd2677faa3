// The Redis that the tests talk to: redis-server or valkey-server, 7 or newer, as the machine has it.
//
//   node scripts/redis-server.mjs     installs it where it is missing, if it can, and prints its path
import { spawnSync } from 'node:child_process';
import { accessSync, constants, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION_MIN = 7;
/** Of Debian and what is made of it. */
const INSTALLER = 'apt-get';

/** Where it is; undefined: nowhere in PATH, or too old. */
export function redisServerPath() {
  const dirs = (process.env.PATH ?? '').split(path.delimiter).filter((dir) => dir !== '');
  const candidates = dirs.flatMap((dir) => ['redis-server', 'valkey-server'].map((name) => path.join(dir, name)));
  return candidates.find((file) => isExecutable(file) && majorOf(file) >= VERSION_MIN);
}

export function hasRedisServer() {
  return redisServerPath() !== undefined;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function majorOf(file) {
  const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' });
  return Number(/\bv=(\d+)\./.exec(stdout ?? '')?.[1] ?? 0);
}

function hasAptGet() {
  return process.getuid?.() === 0 && spawnSync(INSTALLER, ['--version'], { stdio: 'ignore' }).status === 0;
}

function aptGet(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(INSTALLER, ['-qq', ...args], { env, stdio: ['ignore', 2, 2] }).status === 0;
}

/**
 * Installs the server where it is missing: as root of a Debian or Ubuntu, from its packages.
 * @throws Error that says what is needed
 */
export function installRedisServer() {
  if (hasRedisServer()) return;
  if (hasAptGet()) {
    process.stderr.write('indelible: installing redis-server by apt-get (once)\n');
    const install = () => aptGet('install', '--yes', '--no-install-recommends', 'redis-server');
    if (!install() && aptGet('update')) install();
  }
  if (!hasRedisServer())
    throw new Error(`redis-server or valkey-server ${VERSION_MIN} or newer has to be in PATH: install one of them`);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  installRedisServer();
  console.log(redisServerPath());
}
