import type { Command } from 'commander';
import type { Verification } from '../client/index.ts';
import { clientOf, type Io, printJson, type StoreOptions, withCommonOptions, withStoreOption } from './context.ts';
import { directStore } from './direct-store.ts';
import { CliError, EXIT } from './exit.ts';
import { groupedNumber } from './text.ts';

export function addVerify(program: Command, io: Io): void {
  const command = program
    .command('verify')
    .summary('check every hash and link')
    .description(
      'Recompute every event hash and link of a journal. With --store this needs no service: it reads the Parquet files alone.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible verify --workspace hono\n  $ indelible verify --workspace hono --store ./data/store',
    );
  withStoreOption(withCommonOptions(command)).action(async (options: StoreOptions) => {
    const verification =
      options.store === undefined
        ? await clientOf(io, options).verify({ signal: io.signal })
        : await directStore(io, options, (store) => store.verify());
    if (options.json) printJson(io, verification);
    else io.stdout.write(verificationText(verification));
    if (!verification.valid) throw new CliError(EXIT.failure, 'the journal does not verify');
  });
}

function verificationText({ valid, events, head_hash, first_seq, first_bad }: Verification): string {
  // Where retention removed the events before it, this is what is proved.
  const from = first_seq ? ` from seq ${first_seq} on` : '';
  const count = `${groupedNumber(events)} ${events === 1 ? 'event' : 'events'}${from}`;
  if (valid) return `valid: ${count}\nhead:  ${head_hash}\n`;
  const where = first_bad === undefined ? '' : ` at seq ${first_bad.seq}: ${first_bad.reason}`;
  return `NOT VALID${where} (${count})\n`;
}
