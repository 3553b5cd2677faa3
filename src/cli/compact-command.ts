import type { Command } from 'commander';
import type { Compaction } from '../client/index.ts';
import { clientOf, type Io, printJson, type StoreOptions, withCommonOptions, withStoreOption } from './context.ts';
import { compactDirectly } from './direct-store.ts';
import { bytesText, groupedNumber } from './text.ts';

export function addCompact(program: Command, io: Io): void {
  const command = program
    .command('compact')
    .summary('merge segments, delete what is no longer read')
    .description(
      'Merge the segments of a journal into few sorted ones, and delete files that left it longer ago than INDELIBLE_COMPACTION_GRACE_MS. The service does so by itself; with --store this needs no service and disturbs none.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible compact --workspace hono\n  $ indelible compact --workspace hono --store ./data/store',
    );
  withStoreOption(withCommonOptions(command)).action(async (options: StoreOptions) => {
    const compaction =
      options.store === undefined
        ? await clientOf(io, options).compact({ signal: io.signal })
        : await compactDirectly(io, options, (line) => io.stderr.write(`${line}\n`));
    if (options.json) printJson(io, compaction);
    else io.stdout.write(compactionText(compaction));
  });
}

function compactionText(done: Compaction): string {
  const size = (files: number, bytes: number) => `${groupedNumber(files)} files, ${bytesText(bytes)}`;
  const merged =
    done.merges === 0
      ? `nothing to merge (${size(done.files_after, done.bytes_after)})`
      : `${groupedNumber(done.events)} events rewritten: ${size(done.files_before, done.bytes_before)} → ${size(done.files_after, done.bytes_after)}`;
  return `${merged}\ndeleted: ${size(done.deleted_files, done.deleted_bytes)}, ${groupedNumber(done.deleted_log_entries)} entries of the log\n`;
}
