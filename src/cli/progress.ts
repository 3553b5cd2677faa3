import { bytesText, durationText, groupedNumber } from './text.ts';

export type Progress = {
  /** What is going on: `sending`, `recording`. */
  phase: string;
  doneBytes: number;
  totalBytes: number;
  /** undefined: not counted in this phase. */
  rows?: number;
};

type Screen = { isTTY?: boolean; columns?: number; write(text: string): unknown };

const BAR_COLUMNS = 24;
const REDRAW_MS = 100;
const PLAIN_LINE_MS = 3000;

/** A line that redraws itself on a terminal; elsewhere a plain line every few seconds. */
export class StatusLine {
  readonly #screen: Screen;
  readonly #nowMs: () => number;
  #shownMs: number;
  #isShown = false;

  constructor(screen: Screen, nowMs: () => number) {
    this.#screen = screen;
    this.#nowMs = nowMs;
    this.#shownMs = nowMs();
  }

  /** `isNew`: a terminal shows it at once. */
  show(line: () => string, isNew = false): void {
    const nowMs = this.#nowMs();
    const { isTTY, columns } = this.#screen;
    if (nowMs - this.#shownMs < (isTTY ? REDRAW_MS : PLAIN_LINE_MS) && !(isTTY && isNew)) return;
    this.#shownMs = nowMs;
    this.#isShown = true;
    if (isTTY) this.#screen.write(`\r\u001b[K${line().slice(0, (columns || 80) - 1)}`);
    else this.#screen.write(`${line()}\n`);
  }

  /** Takes the line away, so that the next one stands alone. */
  clear(): void {
    if (this.#screen.isTTY && this.#isShown) this.#screen.write('\r\u001b[K');
  }
}

/** A bar in such a line. */
export class ProgressBar {
  readonly #line: StatusLine;
  readonly #nowMs: () => number;
  #phase = '';
  #phaseStartedMs = 0;

  constructor(screen: Screen, nowMs: () => number) {
    this.#line = new StatusLine(screen, nowMs);
    this.#nowMs = nowMs;
  }

  show(progress: Progress): void {
    const nowMs = this.#nowMs();
    const isNewPhase = progress.phase !== this.#phase;
    if (isNewPhase) {
      this.#phase = progress.phase;
      this.#phaseStartedMs = nowMs;
    }
    this.#line.show(() => progressLine(progress, nowMs - this.#phaseStartedMs), isNewPhase);
  }

  clear(): void {
    this.#line.clear();
  }
}

/** `recording [#######-----]  58%  12.0 MiB of 20.5 MiB  9,000 rows  4,500 rows/s  eta 2 s` */
export function progressLine({ phase, doneBytes, totalBytes, rows }: Progress, elapsedMs: number): string {
  const share = totalBytes > 0 ? Math.min(1, doneBytes / totalBytes) : 0;
  const filled = Math.floor(share * BAR_COLUMNS);
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_COLUMNS - filled)}]`;
  const parts = [
    `${phase.padEnd(9)} ${bar} ${String(Math.floor(share * 100)).padStart(3)}%`,
    `${bytesText(doneBytes)} of ${bytesText(totalBytes)}`,
  ];
  const seconds = elapsedMs / 1000;
  if (rows !== undefined) parts.push(`${groupedNumber(rows)} rows`);
  if (seconds > 0) {
    const rate =
      rows === undefined
        ? `${bytesText(Math.round(doneBytes / seconds))}/s`
        : `${groupedNumber(Math.round(rows / seconds))} rows/s`;
    parts.push(rate);
  }
  if (share > 0 && share < 1) parts.push(`eta ${durationText((elapsedMs / share) * (1 - share))}`);
  return parts.join('  ');
}
