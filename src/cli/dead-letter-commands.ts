import type { Command } from 'commander';
import {
  type DeadLetter,
  type DeadLetterContent,
  type IndelibleClient,
  IndelibleClientError,
} from '../client/index.ts';
import {
  type CommonOptions,
  clientOf,
  countOption,
  type Io,
  printJson,
  terminalWidth,
  withCommonOptions,
} from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { renderPairs, renderTable } from './table.ts';
import { bytesText, cutText, groupedNumber } from './text.ts';

const PAGE = 100;
/** Of a field's text; the whole is in --json. */
const FIELD_COLUMNS_MAX = 2_000;

export function addDeadLetters(program: Command, io: Io): void {
  const group = program
    .command('dead-letters')
    .summary('what a cluster could not process')
    .description(
      'What a cluster could not process, for operators: look at it, have it processed again, or discard it.',
    );
  addList(group, io);
  const show = group
    .command('show')
    .argument('<id>', 'as `dead-letters list` shows it')
    .description('Show one with its contents.')
    .addHelpText('after', '\nExample:\n  $ indelible dead-letters show 1767225600000-0');
  withCommonOptions(show).action(async (id: string, options: CommonOptions) => {
    const letter = await operatorClient(io, options).cluster.deadLetter(id, { signal: io.signal });
    if (options.json) printJson(io, letter);
    else io.stdout.write(contentText(letter));
  });
  addReplayOf(group, io);
  const discard = group
    .command('discard')
    .argument('<id>', 'as `dead-letters list` shows it')
    .description('Remove one for good. Who and why stands in the log of the service.')
    .addHelpText(
      'after',
      "\nExample:\n  $ indelible dead-letters discard 1767225600000-0 --reason 'sent twice by a test'",
    );
  withCommonOptions(discard)
    .requiredOption('--reason <text>', 'why; it is logged')
    .action(async (id: string, options: CommonOptions & { reason: string }) => {
      const { cluster } = operatorClient(io, options);
      const discarded = await cluster.discardDeadLetter(id, options.reason, { signal: io.signal });
      if (options.json) printJson(io, discarded);
      else io.stdout.write(`discarded ${id}\n`);
    });
}

/** The routes are about no workspace. */
function operatorClient(io: Io, options: CommonOptions): IndelibleClient {
  return clientOf(io, { ...options, workspace: undefined });
}

function addList(group: Command, io: Io): void {
  const list = group
    .command('list', { isDefault: true })
    .description('List them, oldest first.')
    .addHelpText('after', '\nExample:\n  $ indelible dead-letters list --limit 20');
  withCommonOptions(list)
    .option('--limit <n>', 'at most so many', countOption(1, 1_000_000), 1_000)
    .action(async (options: CommonOptions & { limit: number }) => {
      const found: DeadLetter[] = [];
      for await (const letter of lettersOf(operatorClient(io, options), io)) {
        if (options.workspace === undefined || letter.workspace === options.workspace) found.push(letter);
        if (found.length === options.limit) break;
      }
      if (options.json) printJson(io, found);
      else io.stdout.write(listText(found, terminalWidth(io)));
    });
}

async function* lettersOf({ cluster }: IndelibleClient, io: Io): AsyncGenerator<DeadLetter> {
  let cursor: string | undefined;
  do {
    const page = await cluster.deadLetters({ limit: PAGE, cursor }, { signal: io.signal });
    yield* page.dead_letters;
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}

function listText(letters: readonly DeadLetter[], width: number | undefined): string {
  if (letters.length === 0) return 'there are no dead letters\n';
  const titles = ['id', 'dead since', 'stream', 'workspace', 'kind', 'deliveries', 'reason'];
  const rows = letters.map(({ id, dead_at, stream, workspace, kind, deliveries, reason }) => [
    id,
    dead_at,
    stream,
    workspace ?? '',
    kind,
    String(deliveries),
    reason,
  ]);
  return renderTable(
    titles.map((title) => ({ title, align: title === 'deliveries' ? 'right' : 'left' })),
    rows,
    width,
  );
}

function contentText({ fields, ...letter }: DeadLetterContent): string {
  const head = renderPairs([
    ['id', letter.id],
    ['dead since', letter.dead_at],
    ['stream', `${letter.stream}, entry ${letter.entry_id}`],
    ['workspace', letter.workspace ?? ''],
    ['kind', letter.kind],
    ['reason', letter.reason],
    ['deliveries', String(letter.deliveries)],
    ['size', bytesText(letter.bytes)],
  ]);
  const contents = Object.entries(fields).map(([name, value]) => {
    const text = 'text' in value ? value.text : `base64 ${value.base64}`;
    return [name, cutText(text, FIELD_COLUMNS_MAX)] as const;
  });
  return `${head}\n${renderPairs(contents)}`;
}

function addReplayOf(group: Command, io: Io): void {
  const replay = group
    .command('replay')
    .argument('[id]', 'as `dead-letters list` shows it')
    .description(
      'Have one processed again, or all that there are now. They go to the ends of their streams as they were.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible dead-letters replay 1767225600000-0\n  $ indelible dead-letters replay --all',
    );
  withCommonOptions(replay)
    .option('--all', 'all, oldest first')
    .action(async (id: string | undefined, options: CommonOptions & { all?: true }) => {
      if ((id === undefined) !== (options.all === true)) {
        throw new CliError(EXIT.usage, 'name a dead letter, or --all');
      }
      const client = operatorClient(io, options);
      if (id === undefined) {
        await replayAll(client, io, options);
        return;
      }
      const replayed = await client.cluster.replayDeadLetter(id, { signal: io.signal });
      if (options.json) printJson(io, replayed);
      else io.stdout.write(`replayed ${id}: it is ${replayed.entry_id} of ${replayed.stream}\n`);
    });
}

/** What becomes a dead letter again meanwhile is not replayed again. */
async function replayAll(client: IndelibleClient, io: Io, options: CommonOptions): Promise<void> {
  const ids: string[] = [];
  for await (const { id } of lettersOf(client, io)) ids.push(id);
  let replayed = 0;
  for (const id of ids) {
    try {
      await client.cluster.replayDeadLetter(id, { signal: io.signal });
      replayed += 1;
    } catch (error) {
      // Somebody else has just decided on it.
      if (!(error instanceof IndelibleClientError && error.status === 404)) throw error;
    }
  }
  if (options.json) printJson(io, { replayed });
  else io.stdout.write(`replayed ${groupedNumber(replayed)} dead ${replayed === 1 ? 'letter' : 'letters'}\n`);
}
