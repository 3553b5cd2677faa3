/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { tmpdir } from 'node:os';
import type { IdKind } from '../generator.ts';

export type Sides = 'both' | 'ours' | 'peer';

export type Options = {
  /** Measurements to run, in the order of the table; empty means all. */
  names: string[];
  /** Events in the large journal. */
  events: number;
  /** Seconds of each load test. */
  seconds: number;
  ids: IdKind;
  sides: Sides;
  /** Where both sides keep their files; one file system for both, and a real one. */
  directory: string;
  json: boolean;
  keep: boolean;
};

export const HELP = `npm run bench -- [names…] [options]

  --events N      events in the large journal (10,000,000)
  --seconds N     length of each load test (10)
  --ids v7|v4     client event ids: UUIDv7 (kinder to PostgreSQL's indexes) or random UUIDv4
  --side WHICH    both, ours or peer
  --dir PATH      where both sides keep their files (the system's temporary directory); not a RAM disk
  --json          the rows as JSON on standard output, the table on standard error
  --keep          leave the files for inspection
`;

function count(name: string, text: string): number {
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} takes a whole number above 0, not "${text}"`);
  return value;
}

function choice<T extends string>(name: string, text: string, choices: readonly T[]): T {
  const found = choices.find((each) => each === text);
  if (found === undefined) throw new Error(`--${name} takes one of ${choices.join(', ')}, not "${text}"`);
  return found;
}

export function parseOptions(argv: string[]): Options | 'help' {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      events: { type: 'string', default: '10_000_000' },
      seconds: { type: 'string', default: '10' },
      ids: { type: 'string', default: 'v7' },
      side: { type: 'string', default: 'both' },
      dir: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    names: positionals,
    events: count('events', values.events),
    seconds: count('seconds', values.seconds),
    ids: choice('ids', values.ids, ['v7', 'v4'] as const),
    sides: choice('side', values.side, ['both', 'ours', 'peer'] as const),
    directory: values.dir,
    json: values.json,
    keep: values.keep,
  };
}
