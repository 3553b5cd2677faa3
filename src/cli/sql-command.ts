import { type Command, Option } from 'commander';
import type { SqlFormat, SqlParam, SqlResult, SqlStream } from '../client/index.ts';
import {
  type AfterOptions,
  clientOf,
  type Io,
  readOptions,
  type StoreOptions,
  terminalWidth,
  withAfterOption,
  withCommonOptions,
  withStoreOption,
} from './context.ts';
import { directStore } from './direct-store.ts';
import { parseExactJson } from './exact-json.ts';
import { CliError, EXIT } from './exit.ts';
import { streamToStdout } from './output.ts';
import { renderTable } from './table.ts';
import { groupedNumber } from './text.ts';

type SqlOptions = StoreOptions & AfterOptions & { format?: 'table' | SqlFormat; param?: string[] };

const NUMERIC = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|U?INTEGER|DECIMAL.*|FLOAT|DOUBLE)$/;
const STATEMENT_BYTES_MAX = 1024 * 1024;

export function addSql(program: Command, io: Io): void {
  const command = program
    .command('sql')
    .argument('[statement]', 'one SELECT over the view journal; - or none: read it from stdin')
    .summary('ask in SQL')
    .description('Ask one journal in SQL (DuckDB): one SELECT over the view `journal`.')
    .addHelpText(
      'after',
      `
Examples:
  $ indelible sql --workspace hono 'SELECT entity_id, count(*) AS n FROM journal GROUP BY ALL ORDER BY n DESC LIMIT 10'
  $ indelible sql --workspace hono --format csv --param src/context.ts 'SELECT * FROM journal WHERE entity_id = ?'`,
    );
  withStoreOption(withAfterOption(withCommonOptions(command)))
    .addOption(
      new Option('--format <format>', 'form of the answer; default table').choices([
        'table',
        'json',
        'ndjson',
        'csv',
        'arrow',
      ]),
    )
    .option('--param <value>', 'the next parameter: JSON number, true, false, null, or text (repeatable)', collect)
    .action(async (statement: string | undefined, options: SqlOptions) => {
      const how = readOptions(io, options);
      const sql = statement === undefined || statement === '-' ? await readStatement(io) : statement;
      const params = (options.param ?? []).map(readParam);
      const format = options.json ? 'json' : (options.format ?? 'table');
      if (options.json && options.format !== undefined && options.format !== 'json') {
        throw new CliError(EXIT.usage, `--json and --format ${options.format} contradict each other`);
      }
      if (format === 'arrow' && io.stdout.isTTY) {
        throw new CliError(EXIT.usage, 'arrow is binary: redirect stdout to a file or another program');
      }
      const wireFormat = format === 'table' ? 'json' : format;
      const print = (answer: SqlStream) => printAnswer(io, format, answer);
      if (options.store !== undefined) {
        await directStore(io, options, async (store) => print(await store.sql(sql, params, wireFormat)));
      } else {
        await print(await clientOf(io, options).sqlStream(sql, params, wireFormat, how));
      }
    });
}

async function printAnswer(io: Io, format: 'table' | SqlFormat, { body, truncated: isCut }: SqlStream): Promise<void> {
  if (format !== 'table') {
    await streamToStdout(io, body);
    // JSON says so itself; in the other forms a short answer would look like a whole one.
    if (isCut && format !== 'json')
      throw new CliError(EXIT.failure, 'the row limit cut the answer: narrow the question, or export');
    return;
  }
  const { columns, rows, truncated } = parseExactJson(await new Response(body).text()) as SqlResult;
  const shape = columns.map(({ name, type }) => ({
    title: name,
    align: NUMERIC.test(type) ? ('right' as const) : ('left' as const),
  }));
  const shown = rows.map((row) => row.map((cell) => (cell === null ? '' : cell)));
  io.stdout.write(renderTable(shape, shown, terminalWidth(io)));
  const note = truncated ? '; the row limit cut the rest: narrow the question, or export' : '';
  io.stderr.write(`${groupedNumber(rows.length)} ${rows.length === 1 ? 'row' : 'rows'}${note}\n`);
}

async function readStatement(io: Io): Promise<string> {
  if (io.stdin.isTTY) throw new CliError(EXIT.usage, 'no statement: give one as the argument, or on stdin');
  let text = '';
  io.stdin.setEncoding('utf8');
  for await (const chunk of io.stdin) {
    text += chunk;
    if (text.length > STATEMENT_BYTES_MAX) throw new CliError(EXIT.usage, 'the statement is longer than 1 MiB');
  }
  if (text.trim() === '') throw new CliError(EXIT.usage, 'no statement: stdin is empty');
  return text;
}

function collect(value: string, values: string[] | undefined): string[] {
  return [...(values ?? []), value];
}

/** A JSON scalar as it is; anything else is a text. `"5"` is the text 5. */
export function readParam(text: string): SqlParam {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
    // A number that a double cannot hold travels as text, which SQL casts by itself.
    if (typeof value === 'number') return String(value) === text || !/^-?\d+$/.test(text) ? value : text;
    return text;
  } catch {
    return text;
  }
}
