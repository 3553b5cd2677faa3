import { runCli, STDOUT_CLOSED } from './cli/index.ts';

const stop = new AbortController();

// `… | head` closes our stdout early: that is no error, only a reason to stop.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  stop.abort(STDOUT_CLOSED);
});

// A second Ctrl-C ends the process as usual. `serve` has its own handlers.
if (process.argv[2] !== 'serve') process.once('SIGINT', () => stop.abort());

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
  nowMs: () => performance.now(),
});
