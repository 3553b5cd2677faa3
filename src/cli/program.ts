import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addKeys, addWorkspaces } from './admin-commands.ts';
import { addAiKeys } from './ai-key-commands.ts';
import { addCompact } from './compact-command.ts';
import type { Io } from './context.ts';
import { EXIT, EXIT_HELP, explain } from './exit.ts';
import { addDeadLetters } from './dead-letter-commands.ts';
import { addExport } from './export-command.ts';
import { addIngest } from './ingest-command.ts';
import { addFlush, addHistory, addRecent, addStats } from './read-commands.ts';
import { addRebuild } from './rebuild-command.ts';
import { addHold, addRetention } from './retention-commands.ts';
import { addServe } from './serve-command.ts';
import { addSimulate } from './simulate-command.ts';
import { addSql } from './sql-command.ts';
import { addReplay, addStreams } from './stream-commands.ts';
import { addVerify } from './verify-command.ts';

const ENVIRONMENT_HELP = `Environment:
  INDELIBLE_URL   address of the service; default: the configured host and port
  INDELIBLE_KEY   key to use; without it INDELIBLE_OPERATOR_KEY`;

/** Reason of the signal where whoever read our output has had enough. */
export const STDOUT_CLOSED = 'stdout was closed';

/** Runs one command line (without node and script) and resolves with its exit code; it never throws. */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  try {
    await buildProgram(io).parseAsync(args, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    // Commander has printed its own message by now, help included.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (io.signal.reason === STDOUT_CLOSED) return EXIT.ok;
    const { line, exitCode } = explain(error);
    io.stderr.write(`indelible: ${line.replaceAll(/\s*\n\s*/g, ' ')}\n`);
    if (io.env.INDELIBLE_LOG_LEVEL === 'debug' && error instanceof Error) io.stderr.write(`${error.stack}\n`);
    return exitCode;
  }
}

function buildProgram(io: Io): Command {
  const program = new Command('indelible');
  program
    .description('An append-only audit journal: record what happened, read it back, prove it was not changed.')
    .addHelpText('after', `\n${ENVIRONMENT_HELP}`)
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'indelible: ')),
    })
    .version(version(), '-V, --version', 'print the version')
    .exitOverride()
    .showSuggestionAfterError();
  addServe(program, io);
  addIngest(program, io);
  addHistory(program, io);
  addRecent(program, io);
  addSql(program, io);
  addExport(program, io);
  addVerify(program, io);
  addFlush(program, io);
  addCompact(program, io);
  addStats(program, io);
  addSimulate(program, io);
  addRebuild(program, io);
  addRetention(program, io);
  addHold(program, io);
  addKeys(program, io);
  addWorkspaces(program, io);
  addAiKeys(program, io);
  addStreams(program, io);
  addReplay(program, io);
  addDeadLetters(program, io);
  finish(program);
  return program;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** What every command shares, also the ones inside a group. */
function finish(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    finish(child);
  }
  command.addHelpText('after', `\n${EXIT_HELP}`);
}
