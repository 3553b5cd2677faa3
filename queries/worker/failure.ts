import { IndelibleError } from '../../journal/index.ts';
import type { Failure, Link } from './protocol.ts';

/** DuckDB's own words for a job that does not fit its limits. */
const OUT_OF_MEMORY = /^Out of Memory Error|failed to (allocate|offload) data|max_temp_directory_size|std::bad_alloc/i;

/** A fault of the job's input as opposed to one of ours. */
export class InputError extends Error {
  readonly pointer: string;

  constructor(pointer: string, message: string) {
    super(message);
    this.pointer = pointer;
  }
}

/** An error as the service may tell it: of limits, of input, of stored bytes, or of us. No path is in it. */
export function failureOf(error: unknown, directory: string, links: readonly Link[]): Failure {
  const message = cleaned(error instanceof Error ? error.message : String(error), directory, links);
  if (OUT_OF_MEMORY.test(message)) return { kind: 'memory', message, errors: [] };
  if (error instanceof InputError) {
    const errors = [{ pointer: error.pointer, message }];
    return { kind: 'invalid', message: error.pointer === '' ? message : `${error.pointer}: ${message}`, errors };
  }
  if (error instanceof IndelibleError) return { kind: error.kind, message, errors: [...error.errors] };
  // A segment that cannot be opened: the store is away.
  if (message.startsWith('IO Error')) {
    return { kind: 'unavailable', message: 'the store cannot be read at the moment', errors: [] };
  }
  return { kind: 'internal', message, errors: [] };
}

/** DuckDB names files by their real paths in places. */
function cleaned(message: string, directory: string, links: readonly Link[]): string {
  let text = message;
  for (const { name, target } of links) text = text.replaceAll(target, name);
  return text.replaceAll(directory, '.').trimEnd();
}
