// Runs a script of this repository under the Node that package.json pins, installing the packages first when they are
// missing or older than the lock file. Plain JavaScript and builtins only: this file must run on the machine's own
// Node (20 or newer) before anything is installed.
//
//   node scripts/bootstrap.mjs SCRIPT [args…]
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const lockFile = path.join(root, 'package-lock.json');
const hashFile = path.join(modules, '.indelible-lock-hash');
const windows = process.platform === 'win32';
const pinnedNode = path.join(modules, 'node', 'bin', windows ? 'node.exe' : 'node');

/** Node runs TypeScript by itself from this version on. */
const nodeVersionMin = [22, 18];

const parentCheckEveryMs = 200;

const say = (line) => process.stderr.write(`indelible: ${line}\n`);

class BootstrapError extends Error {}

const lockHash = () => createHash('sha256').update(readFileSync(lockFile)).digest('hex');

const readOr = (file, otherwise) => (existsSync(file) ? readFileSync(file, 'utf8') : otherwise);

/** npm's own record of what lies in node_modules agrees with the lock: nothing is missing, nothing has another version. */
function installedMatchesLock() {
  const record = path.join(modules, '.package-lock.json');
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const present = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(wanted).every(([where, entry]) => {
    if (where === '') return true;
    if (entry.version !== present[where]?.version) return entry.optional === true && present[where] === undefined;
    return entry.optional === true || existsSync(path.join(root, where, 'package.json'));
  });
}

function isReady() {
  if (!existsSync(pinnedNode) && !ownNodeIsEnough()) return false;
  if (readOr(hashFile, '') === lockHash()) return true;
  if (!installedMatchesLock()) return false;
  markReady();
  return true;
}

function markReady() {
  // With a link where npm keeps the binaries, `npx indelible` starts at once; without it npm first looks around.
  const link = path.join(modules, '.bin', 'indelible');
  if (!windows && !existsSync(link)) symlinkSync(path.join('..', '..', 'bin', 'indelible.mjs'), link);
  writeFileSync(hashFile, lockHash());
}

/** PATH without this project's own binaries: npm must not run on the very Node that it is about to replace. */
function outsidePath() {
  const own = path.join(modules, '.bin');
  const parts = (process.env.PATH ?? '').split(path.delimiter);
  return parts.filter((part) => path.resolve(part) !== own).join(path.delimiter);
}

function npm(args) {
  // NODE_ENV=production would leave out the development dependencies, and the pinned Node is one of them.
  const env = { ...process.env, PATH: outsidePath(), NODE_ENV: 'development', SCARF_ANALYTICS: 'false' };
  // What npm says goes to stderr: stdout belongs to the command (`npx indelible export > file.csv`).
  const done = spawnSync('npm', args, { cwd: root, env, stdio: ['ignore', 2, 2], shell: windows });
  if (done.error) throw new BootstrapError(`cannot run npm: ${done.error.message}`);
  return done.status === 0;
}

function install() {
  say('installing packages (once; about a minute)');
  const startedAt = Date.now();
  // No package's install script runs, whatever npm's version thinks of allowScripts; then the one that is needed.
  if (!npm(['ci', '--include=dev', '--include=optional', '--ignore-scripts', '--loglevel=error'])) {
    throw new BootstrapError('npm ci failed; see above');
  }
  if (!npm(['rebuild', 'node', '--ignore-scripts=false', '--loglevel=error']) && !ownNodeIsEnough()) {
    throw new BootstrapError('the pinned Node could not be installed; see above');
  }
  markReady();
  say(`packages installed in ${Math.round((Date.now() - startedAt) / 1000)} s`);
}

function ownNodeIsEnough() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  return major > nodeVersionMin[0] || (major === nodeVersionMin[0] && minor >= nodeVersionMin[1]);
}

/** The pinned Node; this process's own where the pinned one cannot run here and this one is new enough. */
function chooseNode() {
  if (existsSync(pinnedNode)) {
    if (realpathSync(pinnedNode) === realpathSync(process.execPath)) return pinnedNode;
    if (spawnSync(pinnedNode, ['--version'], { stdio: 'ignore' }).status === 0) return pinnedNode;
  }
  if (!ownNodeIsEnough()) {
    throw new BootstrapError(
      `the pinned Node does not run on this machine, and Node ${process.versions.node} is too old`,
    );
  }
  say(`the pinned Node is not available here; using Node ${process.versions.node}`);
  return process.execPath;
}

/** Passes the signals on and ends as the child ended: same exit code, or same signal. */
function runAsChild(node, args, env) {
  const child = spawn(node, args, { stdio: 'inherit', env });
  // A terminal sends Ctrl-C to the child too; a second SIGINT from here would look like an impatient user's.
  const fromTerminal = process.stdin.isTTY === true || process.stderr.isTTY === true;
  process.on('SIGINT', () => fromTerminal || child.kill('SIGINT'));
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
    if (!windows) process.on(signal, () => child.kill(signal));
  }
  // npm and npx leave a shell between themselves and this process: told to stop, they may end without a word to us.
  const parent = process.ppid;
  const watch = () => process.ppid === parent || child.kill('SIGTERM');
  setInterval(watch, parentCheckEveryMs).unref();
  child.on('error', (error) => {
    say(`cannot start Node: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** Makes everything ready and runs `script` (relative to the repository) with `args`, in the caller's directory. */
export function run(script, args) {
  try {
    if (!existsSync(lockFile)) throw new BootstrapError('package-lock.json is missing; is this a whole clone?');
    if (!isReady()) install();
    const node = chooseNode();
    const file = path.resolve(root, script);
    if (!existsSync(file)) throw new BootstrapError(`${script} does not exist`);
    // DuckDB's queries occupy libuv's threads; with the default of 4 they would hold up every file and DNS request.
    const env = { ...process.env, UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '8' };
    delete env.npm_command;
    // Becoming the other program leaves no wrapper between it and its signals (Node 20 and Windows cannot); under npm
    // the wrapper stays, to stop the program when npm is gone.
    const underNpm = process.env.npm_command !== undefined;
    if (process.execve !== undefined && !windows && !underNpm) process.execve(node, [node, file, ...args], env);
    else runAsChild(node, [file, ...args], env);
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

const [, self, script, ...args] = process.argv;
if (self !== undefined && realpathSync(self) === fileURLToPath(import.meta.url)) {
  if (script === undefined) say('usage: node scripts/bootstrap.mjs SCRIPT [args…]');
  else run(script, args);
}
