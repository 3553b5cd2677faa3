import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { deploySchemas } from '../../scripts/deploy-schemas.mjs';
import { findPython } from '../../scripts/table-readers.mjs';

/** `kubernetes VERSION`, or the path of a JSON Schema. */
type YamlAsked = { text: string; schema: string };
type YamlRead<T> = { documents: T[]; faults: string[] };

/** Where nothing can be read and the tests are skipped. */
export const NOTHING_READ: YamlRead<never> = { documents: [], faults: [] };

export const COMPOSE_SCHEMA = deploySchemas.composeSchema;

const READER = fileURLToPath(new URL('./read-yaml.py', import.meta.url));

/** Whether YAML can be read and checked here. On a build machine its absence is an error. */
export function canReadYaml(): boolean {
  try {
    deploySchemas.install();
    findPython();
    return true;
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    console.warn(`\nTHE TESTS OF THE YAML FILES IN deploy/ ARE SKIPPED: ${(error as Error).message}\n`);
    return false;
  }
}

/** Parsed, and what of the schema it violates. */
export function readYaml<T>(asked: YamlAsked): YamlRead<T> {
  const env = { ...process.env, PYTHONPATH: deploySchemas.pythonPath };
  const { status, stdout, stderr } = spawnSync(findPython(), [READER], {
    env,
    input: JSON.stringify(asked),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`reading YAML failed: ${stderr}`);
  return JSON.parse(stdout) as YamlRead<T>;
}
