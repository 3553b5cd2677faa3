// Completes package-lock.json for every platform.
//
// A registry that lacks another platform's optional package makes npm leave it out of the lock without a word, and
// `npm ci` then refuses that lock everywhere. Each missing one is added as {version, optional, os, cpu, libc}.
//
//   node scripts/complete-lock.mjs           adds what is missing
//   node scripts/complete-lock.mjs --check   changes nothing; exit code 1 when something is missing
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const lockFile = fileURLToPath(new URL('../package-lock.json', import.meta.url));
const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const cpus = {
  arm: 'arm',
  arm64: 'arm64',
  ia32: 'ia32',
  loong64: 'loong64',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  x64: 'x64',
  wasm32: 'wasm32',
};

/** os, cpu and libc from a platform package's name: `…-linux-arm64-musl` → linux, arm64, musl. */
export function platformOf(name) {
  const words = name.slice(name.lastIndexOf('/') + 1).split('-');
  const os = words.find((word) => systems.includes(word));
  const cpu = words.map((word) => cpus[word]).find((word) => word !== undefined);
  if (cpu === undefined || (os === undefined && cpu !== 'wasm32')) return undefined;
  const abi = words.at(-1);
  const libc =
    os !== 'linux' ? undefined : abi.startsWith('musl') ? 'musl' : abi.startsWith('gnu') ? 'glibc' : undefined;
  return { ...(os && { os: [os] }), cpu: [cpu], ...(libc && { libc: [libc] }) };
}

/** Whether the lock holds `name` where Node would look for it from the package at `where`. */
function isLocked(packages, where, name) {
  for (let folder = where; folder !== ''; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (packages[`${folder}/node_modules/${name}`] !== undefined) return true;
  }
  return packages[`node_modules/${name}`] !== undefined;
}

/** Everything that the lock asks for and does not hold: [{parent, name, range, optional}]. */
export function missingFrom(lock) {
  const missing = [];
  for (const [parent, entry] of Object.entries(lock.packages)) {
    const optional = entry.optionalDependencies ?? {};
    const wanted = { ...entry.dependencies, ...(parent === '' && entry.devDependencies), ...optional };
    for (const [name, range] of Object.entries(wanted)) {
      if (!isLocked(lock.packages, parent, name)) {
        missing.push({ parent, name, range, optional: optional[name] !== undefined });
      }
    }
  }
  return missing;
}

/** A lock with the missing platform packages added. Throws when something else is missing: that is npm's to mend. */
export function complete(lock) {
  const packages = { ...lock.packages };
  for (const { parent, name, range, optional } of missingFrom(lock)) {
    const platform = platformOf(name);
    if (!optional || !/^\d+\.\d+\.\d+[\w.+-]*$/.test(range) || platform === undefined) {
      throw new Error(
        `${parent || 'the project'} wants ${name} ${range}, which is no platform package: run npm install`,
      );
    }
    const dev = packages[parent].dev === true ? { dev: true } : {};
    const { os, cpu, libc } = platform;
    packages[`node_modules/${name}`] = {
      version: range,
      cpu,
      ...dev,
      ...(libc && { libc }),
      optional: true,
      ...(os && { os }),
    };
  }
  const byPath = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(byPath) };
}

function main(checkOnly) {
  const lock = JSON.parse(readFileSync(lockFile, 'utf8'));
  const missing = missingFrom(lock);
  if (missing.length === 0)
    return console.log(`package-lock.json is complete: ${Object.keys(lock.packages).length} entries`);
  if (!checkOnly) {
    writeFileSync(lockFile, `${JSON.stringify(complete(lock), null, 2)}\n`);
    return console.log(`package-lock.json: added ${missing.length} platform packages`);
  }
  for (const { parent, name } of missing) console.error(`package-lock.json lacks ${name}, wanted by ${parent}`);
  process.exitCode = 1;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.includes('--check'));
}
