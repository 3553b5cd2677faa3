/**
 * Loaded into the service with --import: records how long its event loop is held up.
 *
 * SIGUSR2 writes the delays since the last one as a line of JSON to LOOP_PROBE_FILE and starts afresh. The histogram
 * holds the time between two 1 ms timer ticks, so an idle loop shows a little over 1 ms, never 0.
 */
import { appendFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delays = monitorEventLoopDelay({ resolution: 1 });
delays.enable();
process.on('SIGUSR2', () => {
  const { LOOP_PROBE_FILE } = process.env;
  const ms = (nanoseconds: number): number => nanoseconds / 1e6;
  const line = {
    p50Ms: ms(delays.percentile(50)),
    p99Ms: ms(delays.percentile(99)),
    maxMs: ms(delays.max),
    ticks: delays.count,
  };
  if (LOOP_PROBE_FILE) appendFileSync(LOOP_PROBE_FILE, `${JSON.stringify(line)}\n`);
  delays.reset();
});
