import { runCli } from './cli/index.ts';

// `… | head` closes our stdout early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const interrupted = new AbortController();
const interrupt = () => interrupted.abort();
// A second Ctrl-C ends the process as usual. `serve` has its own handlers.
if (process.argv[2] !== 'serve') process.once('SIGINT', interrupt);

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupted.signal,
  nowMs: () => performance.now(),
});
