import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Asked, Told } from './readers.ts';

/**
 * Reads a Delta table with ClickHouse, which reads only below its working directory: the table lies in it. A process
 * of its own, since the library brings its own signal handlers. The library's directory is the first argument.
 */

type Library = { query(sql: string, format: string): string };

const { table, version, queries } = JSON.parse(await text(process.stdin)) as Asked;
const { query } = createRequire(`${process.argv[2]}/`)('chdb') as Library;
const source = `deltaLakeLocal('${process.cwd()}/${basename(table)}')`;
const at = version === null ? '' : ` SETTINGS delta_lake_snapshot_version = ${version}`;
const results = queries.map((sql) =>
  query(sql.replace('FROM journal', () => `FROM ${source}`) + at, 'JSONCompactEachRow')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as (string | null)[]),
);
process.stdout.write(JSON.stringify({ results } satisfies Told));
