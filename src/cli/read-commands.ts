import { once } from 'node:events';
import { type Command, Option } from 'commander';
import type { HistoryQuery, Page, RecentQuery, RecordedEvent, Stats } from '../client/index.ts';
import {
  type AfterOptions,
  type CommonOptions,
  clientOf,
  countOption,
  type Io,
  printJson,
  readOptions,
  type StoreOptions,
  terminalWidth,
  withAfterOption,
  withCommonOptions,
  withStoreOption,
} from './context.ts';
import { directStore } from './direct-store.ts';
import { type Column, renderPairs, renderTable } from './table.ts';
import { groupedNumber } from './text.ts';

const LIMIT_MAX = 1000;

type ListOptions = {
  type?: string;
  field?: string;
  from?: string;
  to?: string;
  limit: number;
  cursor?: string;
};
type HistoryOptions = StoreOptions & AfterOptions & ListOptions & { order: 'asc' | 'desc'; all?: true };
type RecentOptions = CommonOptions &
  AfterOptions &
  ListOptions & { entity?: string; actor?: string; action?: string; source?: string; correlation?: string };

export function withFilters(command: Command): Command {
  return command
    .option('--type <entity-type>', 'only this entity_type')
    .option('--field <name>', 'only this field')
    .option('--from <time>', 'occurred at this RFC 3339 time or later')
    .option('--to <time>', 'occurred before this RFC 3339 time');
}

export function withEventFilters(command: Command): Command {
  return withFilters(command)
    .option('--entity <id>', 'only this entity_id')
    .option('--actor <name>', 'only what this actor did')
    .option('--action <verb>', 'only this action')
    .option('--source <name>', 'only from this source')
    .option('--correlation <id>', 'only of this request or trace');
}

export function eventFilters(options: Omit<RecentOptions, 'limit'>): RecentQuery {
  const { type, field, from, to, entity, actor, action, source, correlation } = options;
  return { type, field, from, to, entity_id: entity, actor, action, source, correlation_id: correlation };
}

export function addHistory(program: Command, io: Io): void {
  const command = program
    .command('history')
    .argument('<entity-id>', 'the entity, e.g. src/context.ts')
    .summary('the events of an entity')
    .description('Print the events of an entity, in order.')
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible history src/context.ts --workspace hono\n  $ indelible history invoice/17 --all --json',
    );
  withStoreOption(withAfterOption(withFilters(withCommonOptions(command))))
    .addOption(new Option('--order <order>', 'by seq').choices(['asc', 'desc']).default('asc'))
    .option('--limit <count>', 'events of a page', countOption(1, LIMIT_MAX), 100)
    .option('--cursor <cursor>', 'go on where another page ended')
    .option('--all', 'every page; with --json one event a line')
    .action(async (entityId: string, options: HistoryOptions) => {
      const { type, field, from, to, order, limit, cursor } = options;
      const query: HistoryQuery = { type, field, from, to, order, limit, cursor };
      const how = readOptions(io, options);
      const print = (load: LoadPage) =>
        options.all
          ? printAll(io, options, load, query)
          : load(query).then((page) => printPage(io, options, page, HISTORY));
      if (options.store !== undefined) {
        await directStore(io, options, (store) => print((page) => store.history(entityId, page)));
      } else {
        const client = clientOf(io, options);
        await print((page) => client.history(entityId, page, how));
      }
    });
}

type LoadPage = (query: HistoryQuery) => Promise<Page>;

async function printAll(io: Io, options: HistoryOptions, load: LoadPage, query: HistoryQuery): Promise<void> {
  const events: RecordedEvent[] = [];
  let cursor = query.cursor;
  do {
    const page = await load({ ...query, cursor, limit: LIMIT_MAX });
    if (options.json) for (const event of page.events) printJson(io, event);
    else events.push(...page.events);
    cursor = page.next_cursor ?? undefined;
    if (io.stdout.writableNeedDrain) await once(io.stdout, 'drain', { signal: io.signal });
  } while (cursor !== undefined);
  if (!options.json) printPage(io, options, { events, next_cursor: null, complete_through: 0 }, HISTORY);
}

export function addRecent(program: Command, io: Io): void {
  const command = program
    .command('recent')
    .summary('the newest events')
    .description('Print the newest events, newest first.')
    .addHelpText('after', '\nExample:\n  $ indelible recent --workspace hono --limit 10 --action delete');
  withAfterOption(withEventFilters(withCommonOptions(command)))
    .option('--limit <count>', 'events of a page', countOption(1, LIMIT_MAX), 20)
    .option('--cursor <cursor>', 'go on where another page ended')
    .action(async (options: RecentOptions) => {
      const { limit, cursor } = options;
      const query = { ...eventFilters(options), limit, cursor };
      printPage(io, options, await clientOf(io, options).recent(query, readOptions(io, options)), RECENT);
    });
}

export function addStats(program: Command, io: Io): void {
  const command = program
    .command('stats')
    .summary('figures of a journal')
    .description('Print the figures of a journal: events, files, what is not sealed yet.')
    .addHelpText('after', '\nExample:\n  $ indelible stats --workspace hono');
  withCommonOptions(command).action(async (options: CommonOptions) => {
    const stats: Stats = await clientOf(io, options).stats({ signal: io.signal });
    if (options.json) printJson(io, stats);
    else io.stdout.write(renderPairs(Object.entries(stats)));
  });
}

export function addFlush(program: Command, io: Io): void {
  const command = program
    .command('flush')
    .summary('seal what is buffered')
    .description('Have the service write the buffered events into the Parquet store now.')
    .addHelpText('after', '\nExample:\n  $ indelible flush --workspace hono');
  withCommonOptions(command).action(async (options: CommonOptions) => {
    const sealed = await clientOf(io, options).seal({ signal: io.signal });
    if (options.json) printJson(io, sealed);
    else io.stdout.write(`${groupedNumber(sealed.events)} events sealed\n`);
  });
}

type Shape = readonly (Column & { of: (event: RecordedEvent) => unknown })[];

const HISTORY: Shape = [
  { title: 'seq', align: 'right', of: (event) => event.seq },
  { title: 'occurred_at', of: (event) => event.occurred_at },
  { title: 'actor', of: (event) => event.actor },
  { title: 'action', of: (event) => event.action },
  { title: 'field', of: (event) => event.field },
  { title: 'old_value', of: (event) => shownValue(event.old_value) },
  { title: 'new_value', of: (event) => shownValue(event.new_value) },
];

const RECENT: Shape = [
  { title: 'seq', align: 'right', of: (event) => event.seq },
  { title: 'occurred_at', of: (event) => event.occurred_at },
  { title: 'actor', of: (event) => event.actor },
  { title: 'action', of: (event) => event.action },
  { title: 'entity_type', of: (event) => event.entity_type },
  { title: 'entity_id', of: (event) => event.entity_id },
  { title: 'field', of: (event) => event.field },
  { title: 'new_value', of: (event) => shownValue(event.new_value) },
];

/** As JSON, so that the text "1" and the number 1 look different; absent is empty. */
function shownValue(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value);
}

function printPage(io: Io, options: CommonOptions, page: Page, shape: Shape): void {
  if (options.json) {
    printJson(io, page);
    return;
  }
  if (page.events.length === 0) {
    io.stderr.write('no events\n');
    return;
  }
  const rows = page.events.map((event) => shape.map((column) => column.of(event)));
  io.stdout.write(renderTable(shape, rows, terminalWidth(io)));
  if (page.next_cursor !== null) io.stderr.write(`there are more: --cursor ${page.next_cursor}\n`);
}
