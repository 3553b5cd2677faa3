import type { Command } from 'commander';
import type { RebuildCertificate } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io, printJson, withCommonOptions } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { StatusLine } from './progress.ts';
import { durationText, groupedNumber } from './text.ts';

const TICK_MS = 1_000;

export function addRebuild(program: Command, io: Io): void {
  const command = program
    .command('rebuild')
    .argument('[projection]', 'compliance_events or activity_daily', 'compliance_events')
    .summary('make a projection anew from the journal')
    .description(
      'Build a projection anew beside the one in use, compare both, and let the new one take over where they agree. Nothing stops meanwhile, no model is asked, and the certificate becomes an event of the journal. For operators.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible rebuild --workspace hono\n  $ indelible rebuild activity_daily --workspace hono --json',
    );
  withCommonOptions(command)
    .option('--force', 'let the new one take over although they differ')
    .action(async (projection: string, options: CommonOptions & { force?: true }) => {
      const certificate = await watched(io, projection, () =>
        clientOf(io, options).rebuild({ projection, force: options.force }, { signal: io.signal }),
      );
      if (options.json) printJson(io, certificate);
      else io.stdout.write(certificateText(certificate));
      if (!certificate.agreed && !certificate.forced) {
        throw new CliError(EXIT.failure, 'the versions differ: the old one stays in use');
      }
    });
}

/** The service says nothing before the end: that time passes is all there is to show. */
async function watched<T>(io: Io, projection: string, work: () => Promise<T>): Promise<T> {
  const startedMs = io.nowMs();
  const line = new StatusLine(io.stderr, io.nowMs);
  const timer = setInterval(
    () => line.show(() => `rebuilding ${projection}  ${durationText(io.nowMs() - startedMs)}`),
    TICK_MS,
  );
  try {
    return await work();
  } finally {
    clearInterval(timer);
    line.clear();
  }
}

function certificateText({ projection, position, first_seq, old, new: made, ...rest }: RebuildCertificate): string {
  const version = ({ version, rows, content_hash }: typeof old) =>
    `version ${version}: ${groupedNumber(rows)} rows, content ${content_hash}`;
  const range = position < first_seq ? 'of nothing' : `seq ${groupedNumber(first_seq)} to ${groupedNumber(position)}`;
  const verdict = rest.agreed
    ? 'they agree: the new one is in use'
    : `THEY DIFFER, first at seq ${rest.differing_seqs.join(', ')}${rest.forced ? ': the new one is in use, by force' : ''}`;
  return `${projection}, ${range}\nold ${version(old)}\nnew ${version(made)}\n${verdict}\n`;
}
