import type { Command } from 'commander';
import { countOption, type Io, printJson, withCommonOptions } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { MADE_UP_SIGNALS, Simulation, type SimulationOptions, type Summary } from './simulation.ts';
import { countsText, durationText, groupedNumber } from './text.ts';

const BATCH_MAX = 10_000;

export function addSimulate(program: Command, io: Io): void {
  const command = program
    .command('simulate')
    .summary('send signals and watch their verdicts')
    .description(
      'Send signals, of a file or made up, and follow their verdicts: by whom they are given, how fast, and how many the cache saves. Made-up signals are of five domains, two in a hundred above the threshold of the shipped policies. The key is to append and read.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ indelible simulate --workspace demo --limit 10000
  $ indelible simulate --workspace demo --limit 600 --rate 10 --seed 7
  $ indelible simulate --workspace nab --file axioms.ndjson.gz --json`,
    );
  withCommonOptions(command)
    .option(
      '--limit <n>',
      `signals to send, at most (default: the whole file, or ${groupedNumber(MADE_UP_SIGNALS)} made-up ones)`,
      countOption(1, 100_000_000),
    )
    .option('--rate <n>', 'signals a second; default: as fast as they are taken', countOption(1, 1_000_000))
    .option('--file <file>', 'NDJSON of signals, may be gzipped; default: made-up ones')
    .option(
      '--batch <n>',
      'signals in a request (default 500, with --rate a tenth of a second)',
      countOption(1, BATCH_MAX),
    )
    .option(
      '--seed <n>',
      'the same made-up signals for the same seed (default: others each time)',
      countOption(0, 2 ** 32 - 1),
    )
    .option('--no-wait', 'do not wait for the verdicts')
    .action(async (options: SimulationOptions) => {
      if (options.file !== undefined && options.seed !== undefined) {
        throw new CliError(EXIT.usage, '--seed is for made-up signals: it does not go with --file');
      }
      const summary = await new Simulation(io, options).run();
      if (options.json) printJson(io, summary);
      else io.stdout.write(summaryText(summary));
      if (summary.waiting > 0 && options.wait) {
        throw new CliError(EXIT.failure, `${groupedNumber(summary.waiting)} signals have no verdict yet`);
      }
    });
}

function summaryText(summary: Summary): string {
  const { sent, accepted, duplicates, unknown, seed, elapsed_ms, verdicts, waiting } = summary;
  const lines = [
    `sent       ${groupedNumber(sent)} in ${durationText(elapsed_ms)}: ${groupedNumber(accepted)} accepted, ${groupedNumber(duplicates)} were there already, ${groupedNumber(unknown)} without a source_id`,
  ];
  if (seed !== null) lines.push(`seed       ${seed}`);
  if (summary.verdicts > 0 || waiting > 0) {
    lines.push(
      `verdicts   ${groupedNumber(verdicts)}${waiting > 0 ? `, ${groupedNumber(waiting)} to come` : ''}`,
      `tiers      ${countsText(summary.tiers)}`,
      `risks      ${countsText(summary.risks)}`,
      `cache      ${summary.cache_hit_rate === null ? 'nothing was routed' : `${(summary.cache_hit_rate * 100).toFixed(1)} % of ${groupedNumber(summary.routed)} routed`}`,
      `fallbacks  ${summary.fallbacks.map(({ tier, cause, count }) => `${tier}: ${cause} ${groupedNumber(count)}`).join(', ') || 'none'}`,
      `verdict in ${summary.verdict_ms.p50 ?? '–'} ms (p50), ${summary.verdict_ms.p99 ?? '–'} ms (p99) from the record of the signal`,
    );
  }
  return `${lines.join('\n')}\n`;
}
