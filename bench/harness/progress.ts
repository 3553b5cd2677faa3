/** One line of progress on standard error: rewritten in place on a terminal, otherwise a line every five seconds. */
const PLAIN_EVERY_MS = 5_000;

export type Progress = {
  at(done: number): void;
  end(): void;
};

export function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

export function progress(what: string, total: number): Progress {
  const began = performance.now();
  const terminal = process.stderr.isTTY === true;
  let shownAt = began;
  const line = (done: number): string => {
    const seconds = (performance.now() - began) / 1_000;
    const rate = Math.round(done / Math.max(seconds, 0.001));
    return `bench: ${what} ${Math.floor((done / total) * 100)} %, ${done.toLocaleString('en')} of ${total.toLocaleString('en')}, ${rate.toLocaleString('en')}/s`;
  };
  return {
    at(done) {
      const now = performance.now();
      if (now - shownAt < (terminal ? 200 : PLAIN_EVERY_MS)) return;
      shownAt = now;
      process.stderr.write(terminal ? `\r\u001b[K${line(done)}` : `${line(done)}\n`);
    },
    end() {
      process.stderr.write(
        `${terminal ? '\r\u001b[K' : ''}${line(total)}, ${((performance.now() - began) / 1_000).toFixed(1)} s\n`,
      );
    },
  };
}
