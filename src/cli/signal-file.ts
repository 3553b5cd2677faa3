import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import type { AxiomInput } from '../client/index.ts';
import { parseExactJson } from './exact-json.ts';
import { CliError, EXIT } from './exit.ts';

/**
 * The first signals of an NDJSON file, gzipped where its name says so. What they hold is the service's to judge.
 * @throws CliError with the number of the line that is not JSON
 */
export async function* signalsOfFile(file: string, limit: number): AsyncGenerator<AxiomInput> {
  const bytes = createReadStream(file);
  const unpacked = file.endsWith('.gz') ? bytes.pipe(createGunzip()) : bytes;
  // pipe() does not hand on the failure of its source.
  bytes.on('error', (error) => unpacked.destroy(error));
  try {
    let count = 0;
    let line = 0;
    for await (const text of linesOf(unpacked.setEncoding('utf8'))) {
      line += 1;
      if (text.trim() === '') continue;
      yield signalOf(text, file, line);
      count += 1;
      if (count >= limit) return;
    }
  } finally {
    bytes.destroy();
  }
}

async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

function signalOf(text: string, file: string, line: number): AxiomInput {
  try {
    return parseExactJson(text) as AxiomInput;
  } catch {
    throw new CliError(EXIT.failure, `${file}, line ${line}: is not JSON`);
  }
}
