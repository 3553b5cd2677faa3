import type { Command } from 'commander';
import type { Streams } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io, printJson, terminalWidth, withCommonOptions } from './context.ts';
import { renderTable } from './table.ts';
import { groupedNumber } from './text.ts';

const PRESSURE_WORDS = [
  '0: normal',
  '1: smaller reads',
  '2: what has low priority waits',
  '3: nothing is taken',
] as const;

export function addStreams(program: Command, io: Io): void {
  const command = program
    .command('streams')
    .summary('what the streams of a cluster hold')
    .description('Show what the streams of a cluster hold and how far behind their readers are, for operators.')
    .addHelpText('after', '\nExample:\n  $ indelible streams');
  withCommonOptions(command).action(async (options: CommonOptions) => {
    const client = clientOf(io, { ...options, workspace: undefined });
    const streams = await client.cluster.streams({ signal: io.signal });
    if (options.json) printJson(io, streams);
    else io.stdout.write(streamsText(streams, terminalWidth(io)));
  });
}

function streamsText({ pressure_level, dead_letters, streams }: Streams, width: number | undefined): string {
  const titles = ['stream', 'entries', 'group', 'consumers', 'pending', 'lag', 'last delivered'];
  const rows = streams.flatMap(({ name, length, groups }) => {
    const entries = groupedNumber(length);
    if (groups.length === 0) return [[name, entries, '-']];
    return groups.map((group) => [
      name,
      entries,
      group.name,
      groupedNumber(group.consumers),
      groupedNumber(group.pending),
      group.lag === null ? '?' : groupedNumber(group.lag),
      group.last_delivered_id,
    ]);
  });
  const isNumber = (title: string) => ['entries', 'consumers', 'pending', 'lag'].includes(title);
  const table = renderTable(
    titles.map((title) => ({ title, align: isNumber(title) ? 'right' : 'left' })),
    rows,
    width,
  );
  return `pressure      ${PRESSURE_WORDS[pressure_level]}\ndead letters  ${groupedNumber(dead_letters)}\n\n${table}`;
}

export function addReplay(program: Command, io: Io): void {
  const command = program
    .command('replay')
    .summary('have a consumer group read a stream of a cluster from a position on')
    .description(
      "Make a consumer group, or move one, for operators. The service's own groups are moved back only: the journal takes an event once, and a signal has one verdict, however often they are delivered.",
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible replay --group copy --from 0\n  $ indelible replay --group compliance --from 2026-01-02T03:04:05Z --stream axioms-high\n  $ indelible replay --group copy --from 1767225600000-0 --stream journal-0',
    );
  withCommonOptions(command)
    .requiredOption('--group <name>', 'the consumer group; made where it is not there')
    .requiredOption('--from <id|time>', 'the first entry: its id, 0 for the oldest, $ for what comes, or a time')
    .option('--stream <name>', 'axioms, axioms-high, or journal-<partition>', 'axioms')
    .action(async (options: CommonOptions & { group: string; from: string; stream: string }) => {
      const { group, from, stream } = options;
      const client = clientOf(io, { ...options, workspace: undefined });
      const replayed = await client.cluster.replay(stream, { group, from }, { signal: io.signal });
      if (options.json) {
        printJson(io, replayed);
        return;
      }
      const entries = `${groupedNumber(replayed.entries)} ${replayed.entries === 1 ? 'entry' : 'entries'}`;
      io.stdout.write(`${replayed.created ? 'made' : 'moved'} ${group}: it is delivered ${entries} of ${stream}\n`);
    });
}
