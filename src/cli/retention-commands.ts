import { type Command, InvalidArgumentError } from 'commander';
import type { Hold, Retention } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io, printJson, terminalWidth, withCommonOptions } from './context.ts';
import { renderTable } from './table.ts';
import { groupedNumber } from './text.ts';

type RetentionOptions = CommonOptions & { before: { seq: number } | { before: string }; reason: string; dryRun?: true };

export function addRetention(program: Command, io: Io): void {
  const command = program
    .command('retention')
    .summary('remove the oldest events, by order')
    .description(
      'Remove every event that was recorded before a time or a position. The order is an event of the journal itself; a legal hold forbids it. What remains verifies. There is no way back.',
    )
    .addHelpText(
      'after',
      "\nExamples:\n  $ indelible retention --workspace hono --before 2016-01-01T00:00:00Z --reason 'ten years are over' --dry-run\n  $ indelible retention --workspace hono --before 12000 --reason 'as agreed with the client'",
    );
  withCommonOptions(command)
    .requiredOption(
      '--before <time|seq>',
      'an RFC 3339 time of recording, or a position: events before it go',
      cutOption,
    )
    .requiredOption('--reason <text>', 'why; it is recorded')
    .option('--dry-run', 'only tell what would go')
    .action(async (options: RetentionOptions) => {
      const { before, reason, dryRun = false } = options;
      const client = clientOf(io, options);
      const done = await client.retain({ ...before, reason, dryRun }, { signal: io.signal });
      if (options.json) printJson(io, done);
      else io.stdout.write(retentionText(done, dryRun));
    });
}

function cutOption(text: string): RetentionOptions['before'] {
  if (/^\d{1,10}$/.test(text)) return { seq: Number(text) };
  if (/^\d{4}-\d\d-\d\d/.test(text)) return { before: text };
  throw new InvalidArgumentError('It must be a time like 2016-01-01T00:00:00Z, or a position.');
}

function retentionText(done: Retention, isDryRun: boolean): string {
  const { removed, first_seq, files_removed, files_rewritten, before_hash } = done;
  if (removed === 0) return `nothing to remove: the journal begins at seq ${first_seq}\n`;
  const verb = isDryRun ? 'would remove' : 'removed';
  const events = `${groupedNumber(removed)} ${removed === 1 ? 'event' : 'events'}`;
  const files = `${groupedNumber(files_removed)} files removed, ${groupedNumber(files_rewritten)} rewritten`;
  return `${verb} ${events}: the journal begins at seq ${first_seq}\nbefore: ${before_hash}\nfiles:  ${files}\n`;
}

export function addHold(program: Command, io: Io): void {
  const holds = program
    .command('hold')
    .summary('make, list and release legal holds')
    .description('Legal holds of a workspace, for operators: while one stands, retention is refused.');
  const add = holds
    .command('add')
    .argument('<name>', 'letters, digits, dots, _ and -; at most 63')
    .description('Make a hold. Once this returns, nothing is removed any more.')
    .addHelpText('after', "\nExample:\n  $ indelible hold add case-2026-17 --workspace hono --reason 'court order'");
  withCommonOptions(add)
    .requiredOption('--reason <text>', 'why; it is recorded')
    .action(async (name: string, options: CommonOptions & { reason: string }) => {
      const hold = await clientOf(io, options).holds.add({ name, reason: options.reason }, { signal: io.signal });
      if (options.json) printJson(io, hold);
      else io.stdout.write(`${hold.name} holds ${hold.workspace} since ${hold.made_at}\n`);
    });
  const list = holds
    .command('list')
    .description('List the holds, released ones too.')
    .addHelpText('after', '\nExample:\n  $ indelible hold list --workspace hono');
  withCommonOptions(list).action(async (options: CommonOptions) => {
    const found = await clientOf(io, options).holds.list({ signal: io.signal });
    if (options.json) printJson(io, found);
    else io.stdout.write(holdTable(found, terminalWidth(io)));
  });
  const remove = holds
    .command('remove')
    .argument('<name>', 'as `hold list` shows it')
    .description('Release a hold. The journal keeps that there was one.')
    .addHelpText('after', '\nExample:\n  $ indelible hold remove case-2026-17 --workspace hono');
  withCommonOptions(remove).action(async (name: string, options: CommonOptions) => {
    const hold = await clientOf(io, options).holds.remove(name, { signal: io.signal });
    if (options.json) printJson(io, hold);
    else io.stdout.write(`${hold.name} held ${hold.workspace} until ${hold.released_at}\n`);
  });
}

function holdTable(holds: readonly Hold[], width: number | undefined): string {
  const titles = ['name', 'made_at', 'made_by', 'released_at', 'reason'];
  const rows = holds.map(({ name, made_at, made_by, released_at, reason }) => [
    name,
    made_at,
    made_by,
    released_at ?? '',
    reason,
  ]);
  return renderTable(
    titles.map((title) => ({ title })),
    rows,
    width,
  );
}
