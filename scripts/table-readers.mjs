// Engines that are not ours, for the tests that read a journal's table with them. They are no part of the project:
// each lies in the user's cache, in exact versions, and is installed by whichever test first wants it.
//
//   node scripts/table-readers.mjs        installs what is missing, and prints where it is
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir } from './s3-server.mjs';

const CHDB = ['chdb@3.4.0', '@clickhouse/client-common@1.23.0', 'node-addon-api@6.1.0', 'node-gyp-build@4.8.4'];
const DELTALAKE = [
  'deltalake==1.6.6',
  'arro3-core==0.9.1',
  'deprecated==1.3.1',
  'typing-extensions==4.16.0',
  'wrapt==2.5.2',
];

/** ClickHouse as a library for Node (550 MB); reads Delta with delta-kernel-rs. */
export const clickHouse = {
  title: 'ClickHouse',
  dir: path.join(cacheDir, CHDB[0]),
  /** @throws Error that says what is needed */
  install() {
    installOnce(this.dir, CHDB[0], (dir) => {
      const args = ['install', '--prefix', dir, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', ...CHDB];
      run('npm', args, `${CHDB[0]} could not be installed from npm`);
      // npm passes over a platform's package that does not exist without a word.
      if (!existsSync(path.join(dir, 'node_modules', '@chdb')))
        throw new Error(
          `${CHDB[0]} has no library for ${process.platform}-${process.arch}: it runs on Linux with glibc and on macOS`,
        );
    });
  },
};

/** delta-rs for Python (170 MB), with DataFusion inside. */
export const deltaRs = {
  title: 'delta-rs',
  dir: path.join(cacheDir, DELTALAKE[0].replace('==', '@')),
  /** @throws Error that says what is needed */
  install() {
    installOnce(this.dir, DELTALAKE[0], (dir) => {
      pipInstall(dir, DELTALAKE);
    });
  },
};

/** The Python that the tests use. */
export function findPython() {
  const isNew = 'import sys; sys.exit(sys.version_info < (3, 10))';
  const python = ['python3', 'python'].find((name) => isRun(name, ['-c', isNew]));
  if (python === undefined) throw new Error('Python 3.10 or newer is needed');
  return python;
}

/** Exactly these packages and no others, into `dir`. */
export function pipInstall(dir, packages) {
  const args = ['-m', 'pip', 'install', '--quiet', '--target', dir, '--no-deps', '--only-binary', ':all:', ...packages];
  run(pythonWithPip(), args, `${packages[0]} could not be installed by pip`);
}

function pythonWithPip() {
  if (!hasPip() && process.getuid?.() === 0 && isRun('apt-get', ['--version'])) {
    run('apt-get', ['update', '-qq'], 'the lists of packages could not be read');
    const packages = ['python3', 'python3-pip'];
    run('apt-get', ['install', '-qq', '-y', '--no-install-recommends', ...packages], 'pip could not be installed');
  }
  const python = findPython();
  if (!hasPip()) throw new Error(`${python} -m pip is needed: install the package python3-pip`);
  return python;
}

function hasPip() {
  return ['python3', 'python'].some((name) => isRun(name, ['-m', 'pip', '--version']));
}

/** Whole or not at all, whoever else is installing it too. */
export function installOnce(dir, name, install) {
  if (existsSync(dir)) return;
  process.stderr.write(`indelible: installing ${name} for the tests (once)\n`);
  mkdirSync(cacheDir, { recursive: true });
  const made = mkdtempSync(path.join(cacheDir, 'install-'));
  try {
    install(made);
    if (!existsSync(dir)) renameSync(made, dir);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

const isRun = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

function run(command, args, failure) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error } = spawnSync(command, args, { env, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  throw new Error(`${failure} (${error?.message ?? 'see above'})`);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const reader of [clickHouse, deltaRs]) {
    reader.install();
    console.log(`${reader.title}: ${reader.dir}`);
  }
}
