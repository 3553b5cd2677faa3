// What the test of deploy/ checks with: the schemas of Kubernetes and of the Compose Specification, as their own projects
// publish them, and a Python that reads YAML. They lie in the user's cache, in exact versions.
//
//   node scripts/deploy-schemas.mjs        installs what is missing, and prints where it is
import { spawnSync } from 'node:child_process';
import { copyFileSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir, findOrBorrowGo } from './s3-server.mjs';
import { installOnce, pipInstall } from './table-readers.mjs';

const KUBERNETES = [
  'kubernetes-validate==1.37.0',
  'attrs==26.1.0',
  'importlib-resources==7.1.0',
  'jsonschema==4.26.0',
  'jsonschema-specifications==2025.9.1',
  'packaging==26.3',
  'PyYAML==6.0.3',
  'referencing==0.37.0',
  'rpds-py==2026.9.1',
  'typing-extensions==4.16.0',
];
const COMPOSE = 'github.com/compose-spec/compose-go/v2@v2.16.2';

const dir = path.join(cacheDir, `schemas-${`${KUBERNETES[0]}+${COMPOSE}`.replaceAll(/[^\w.+-]/g, '-')}`);

export const deploySchemas = {
  dir,
  pythonPath: path.join(dir, 'python'),
  composeSchema: path.join(dir, 'compose-spec.json'),
  /** @throws Error that says what is needed */
  install() {
    installOnce(dir, 'schemas of Kubernetes and Compose', (made) => {
      pipInstall(path.join(made, 'python'), KUBERNETES);
      downloadComposeSchema(made);
    });
  },
};

/** Out of the library that Docker Compose itself reads its files with; nothing is built. */
function downloadComposeSchema(made) {
  const borrowed = path.join(made, 'go');
  const args = ['mod', 'download', '-json', COMPOSE];
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 2] };
  const { status, stdout } = spawnSync(findOrBorrowGo(borrowed), args, options);
  if (status !== 0) throw new Error(`${COMPOSE} could not be downloaded by Go: ${stdout}`);
  copyFileSync(path.join(JSON.parse(stdout).Dir, 'schema', 'compose-spec.json'), path.join(made, 'compose-spec.json'));
  rmSync(borrowed, { recursive: true, force: true });
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  deploySchemas.install();
  console.log(deploySchemas.dir);
}
