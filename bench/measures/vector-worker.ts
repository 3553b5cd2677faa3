/**
 * One side of the look-up of verdicts, in a process of its own: `vector-worker.ts fill|ask ours|peer DIRECTORY RESULT`. Both
 * hold the same vectors from the same seed and are asked the same; the similarities that they found are in the result.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ARRAY, arrayValue, type DuckDBConnection, DuckDBInstance, FLOAT } from '@duckdb/node-api';
import type { Partition } from '../../src/judging/index.ts';
import { VerdictVectors } from '../../src/vectors/index.ts';
import { highWaterBytes } from '../harness/memory.ts';

const VECTORS = 100_000;
const DIMENSIONS = 768;
const LOOK_UPS = 100;
const WARM_UPS = 10;
const SIMILARITY_MIN = 0.9;
/** Vectors lie around so many centres: any two of one at a cosine of about 0.7, as an embedding model's of one kind. */
const CENTRES = 50;
const SPREAD = 0.65;
/** The look-ups' own distance from the vector they are made of: a cosine of about 0.95. */
const QUERY_SPREAD = 0.33;
const SCALE = 32_768;
const QUERIES = 'queries.f32';
const PARTITION: Partition = { embeddingModel: 'bench', policyVersion: '1', rule: 'bench' };
const CACHED = {
  eventId: '01900000-0000-7000-8000-000000000000',
  riskLevel: 'high',
  narrative: 'x'.repeat(300),
} as const;

/** Of one look-up, in milliseconds; and what it found: the similarity, or 0. */
type Measured = { times: number[]; found: number[] };
export type VectorResult = { plain: Measured; repeated: Measured; peakBytes: number; openMs: number; note: string };

type Ask = (query: Float32Array) => Promise<number>;

function uniforms(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/**
 * `of` with noise whose length is about `spread` for every 1 of its own, scaled to length SCALE and rounded: whole numbers
 * are short as text, and a cosine does not mind.
 */
function noisy(uniform: () => number, of: Float32Array | undefined, spread: number): Float32Array {
  const scale = spread * Math.sqrt(12 / DIMENSIONS);
  const vector = Float32Array.from(
    { length: DIMENSIONS },
    (_, index) => (of?.[index] ?? 0) / SCALE + scale * (uniform() - 0.5),
  );
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => Math.round((SCALE * value) / norm));
}

/** The vectors one after the other, and of every few hundredth a look-up near it; half of the look-ups are near none. */
function* vectors(): Generator<{ vector: Float32Array; query: Float32Array | undefined }> {
  const uniform = uniforms(20_260_101);
  const centres = Array.from({ length: CENTRES }, () => noisy(uniform, undefined, 1));
  for (let number = 0; number < VECTORS; number += 1) {
    const centre = centres[number % CENTRES];
    const vector = noisy(uniform, centre, SPREAD);
    const isAsked = number % (VECTORS / LOOK_UPS) === 0;
    const isNear = (number / (VECTORS / LOOK_UPS)) % 2 === 0;
    const query = isAsked ? noisy(uniform, isNear ? vector : centre, isNear ? QUERY_SPREAD : SPREAD) : undefined;
    yield { vector, query };
  }
}

async function measure(queries: readonly Float32Array[], ask: Ask): Promise<Measured> {
  const times: number[] = [];
  const found: number[] = [];
  for (const query of queries.slice(0, WARM_UPS)) await ask(query);
  for (const query of queries) {
    const began = performance.now();
    found.push(await ask(query));
    times.push(performance.now() - began);
  }
  return { times, found };
}

/** Gives every vector to `take`, and keeps the look-ups for the other process. */
function fill(dir: string, take: (vector: Float32Array, number: number) => void): void {
  const queries: number[] = [];
  let number = 0;
  for (const { vector, query } of vectors()) {
    take(vector, number);
    number += 1;
    if (query) queries.push(...query);
  }
  writeFileSync(join(dir, QUERIES), new Uint8Array(Float32Array.from(queries).buffer));
}

function keptQueries(dir: string): Float32Array[] {
  const bytes = readFileSync(join(dir, QUERIES));
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return Array.from({ length: LOOK_UPS }, (_, number) => all.slice(number * DIMENSIONS, (number + 1) * DIMENSIONS));
}

async function fillOurs(dir: string): Promise<void> {
  const index = await VerdictVectors.open({ dir });
  fill(dir, (vector, number) => index.add(number, PARTITION, `fingerprint ${number}`, vector, CACHED));
  await index.close();
}

async function askOurs(dir: string): Promise<Omit<VectorResult, 'peakBytes'>> {
  const queries = keptQueries(dir);
  const began = performance.now();
  const index = await VerdictVectors.open({ dir });
  const openMs = performance.now() - began;
  const ask: Ask = async (query) => (await index.nearest(PARTITION, query, SIMILARITY_MIN))?.similarity ?? 0;
  const plain = await measure(queries, ask);
  const same = queries[0] as Float32Array;
  for (let again = 0; again < VECTORS; again += 1) index.add(VECTORS + again, PARTITION, 'fingerprint 0', same, CACHED);
  const repeated = await measure(queries, ask);
  const note = `${index.size} entries, ${index.sizeBytes} bytes by the index's own account`;
  await index.close();
  return { plain, repeated, openMs, note };
}

const arrayOf = (vector: Float32Array) => arrayValue([...vector]);
const ARRAY_TYPE = ARRAY(FLOAT, DIMENSIONS);

async function openPeer(dir: string): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(join(dir, 'peer.duckdb'), { threads: '1' });
  return instance.connect();
}

/** DuckDB with every verdict a row, as it would lie in a table of its own: repeats are rows too. */
async function fillPeer(dir: string): Promise<void> {
  const connection = await openPeer(dir);
  // By way of text: its appender takes an array value by value, which is a hundred times slower.
  const path = join(dir, 'vectors.csv');
  const file = openSync(path, 'w');
  fill(dir, (vector, number) => writeSync(file, `${number}\t[${vector.join(',')}]\n`));
  closeSync(file);
  // Whole numbers would be packed, as embeddings are not, and unpacked at every look-up.
  await connection.run("set force_compression = 'uncompressed'");
  await connection.run(
    `create table verdict as from read_csv('${path}', delim = '\t', quote = '', columns = {id: 'integer', vector: 'FLOAT[${DIMENSIONS}]'})`,
  );
  await connection.run('checkpoint');
  connection.closeSync();
}

async function askPeer(dir: string): Promise<Omit<VectorResult, 'peakBytes'>> {
  const queries = keptQueries(dir);
  const began = performance.now();
  const connection = await openPeer(dir);
  const openMs = performance.now() - began;
  const statement = await connection.prepare(
    `select id, array_cosine_similarity(vector, $1) as similarity from verdict order by similarity desc limit 1`,
  );
  const ask: Ask = async (query) => {
    statement.bindArray(1, arrayOf(query), ARRAY_TYPE);
    const similarity = Number((await statement.runAndReadAll()).getRows()[0]?.[1]);
    return similarity >= SIMILARITY_MIN ? similarity : 0;
  };
  const plain = await measure(queries, ask);
  await connection.run('insert into verdict select -1, (select vector from verdict where id = 0) from range($1)', [
    VECTORS,
  ]);
  await connection.run('checkpoint');
  const repeated = await measure(queries, ask);
  connection.closeSync();
  return { plain, repeated, openMs, note: `${2 * VECTORS} rows` };
}

const [task, side, dir, output] = process.argv.slice(2) as [string, string, string, string];
mkdirSync(dir, { recursive: true });
if (task === 'fill') await (side === 'ours' ? fillOurs(dir) : fillPeer(dir));
else {
  const result = await (side === 'ours' ? askOurs(dir) : askPeer(dir));
  writeFileSync(output, JSON.stringify({ ...result, peakBytes: highWaterBytes(process.pid) }));
}
