import { extname } from 'node:path';
import { type Command, Option } from 'commander';
import type { ExportFormat, ExportQuery } from '../client/index.ts';
import {
  type AfterOptions,
  clientOf,
  type Io,
  printJson,
  readOptions,
  type StoreOptions,
  withAfterOption,
  withCommonOptions,
  withStoreOption,
} from './context.ts';
import { directStore } from './direct-store.ts';
import { CliError, EXIT } from './exit.ts';
import { streamToFile, streamToStdout } from './output.ts';
import { eventFilters, withEventFilters } from './read-commands.ts';
import { bytesText } from './text.ts';

type ExportOptions = StoreOptions &
  AfterOptions &
  Parameters<typeof eventFilters>[0] & { format?: ExportFormat; profile?: 'raw' | 'spreadsheet'; out?: string };

const FORMATS: readonly ExportFormat[] = ['csv', 'ndjson', 'parquet', 'arrow'];

export function addExport(program: Command, io: Io): void {
  const command = program
    .command('export')
    .summary('all events as a file')
    .description('Write all events, or those that match, in order of seq, with the hash of the event before each.')
    .addHelpText(
      'after',
      `
Examples:
  $ indelible export --workspace hono --out hono.csv
  $ indelible export --workspace hono --format ndjson --from 2024-01-01T00:00:00Z | gzip > hono.ndjson.gz`,
    );
  withStoreOption(withAfterOption(withEventFilters(withCommonOptions(command))))
    .addOption(new Option('--format <format>', "default: as --out's name says, else csv").choices(FORMATS))
    .addOption(
      new Option(
        '--profile <profile>',
        'of csv: raw (default, RFC 4180), or spreadsheet: with a byte order mark, and no cell taken for a formula',
      ).choices(['raw', 'spreadsheet']),
    )
    .option('--out <file>', 'write here, once it is whole; default stdout')
    .action(async (options: ExportOptions) => {
      const format = options.format ?? formatOfName(options.out) ?? 'csv';
      if (options.profile !== undefined && format !== 'csv') {
        throw new CliError(EXIT.usage, '--profile is for csv only');
      }
      if (options.out === undefined && io.stdout.isTTY && (format === 'parquet' || format === 'arrow')) {
        throw new CliError(EXIT.usage, `${format} is binary: give --out FILE`);
      }
      const query: ExportQuery = { ...eventFilters(options), format, profile: options.profile };
      const how = readOptions(io, options);
      const write = (body: ReadableStream<Uint8Array>) => writeExport(io, options, format, body);
      if (options.store !== undefined) {
        await directStore(io, options, async (store) => write(await store.export(query)));
      } else {
        await write(await clientOf(io, options).export(query, how));
      }
    });
}

async function writeExport(
  io: Io,
  options: ExportOptions,
  format: ExportFormat,
  body: ReadableStream<Uint8Array>,
): Promise<void> {
  if (options.out === undefined) {
    await streamToStdout(io, body);
    return;
  }
  const bytes = await streamToFile(io, body, options.out);
  if (options.json) printJson(io, { out: options.out, format, bytes });
  else io.stderr.write(`${options.out}: ${bytesText(bytes)}\n`);
}

function formatOfName(out: string | undefined): ExportFormat | undefined {
  const extension = extname(out ?? '').slice(1);
  return FORMATS.find((format) => format === extension);
}
