import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeltaTable, type DraftEvent, type JournalEvent, type Journals } from '../../journal/index.ts';
import { eventsFrom } from '../../queries/index.ts';
import { HOSTILE_TEXTS } from '../support/events.ts';
import { COMMITTED, DURABLE, draft, type Lab } from '../support/journal-lab.ts';

/** A journal's table as it lay at one moment, and what the journal itself said then. */
export type TableCopy = {
  dir: string;
  /** Below `dir`: the live files. */
  files: string[];
  /** All that was committed, ascending. */
  events: JournalEvent[];
};

/** Stages in the life of one table, in order, and two tables beside it. */
export type Tables = Record<
  'appended' | 'manyAppended' | 'compacted' | 'appendedAgain' | 'cleaned' | 'another' | 'tiny',
  TableCopy
>;

const HOUR_MS = 3_600_000;
const LONG_ID = `${'long/'.repeat(200).slice(0, 997)}é\u{1F600}`;
const IDS = [...HOSTILE_TEXTS, LONG_ID];
const VALUES = [null, 'null', '""', '0', '12345678901234567890.5', '{"a":1e3,"*":[]}', '"\\u0001 é \u{1F600} \\\\N"'];

/** The ends of what can be said, and microseconds that statistics have to widen. */
const TIMES = [
  '0001-01-01T00:00:00.000000Z',
  '1677-01-01T00:00:00.000001Z',
  '1969-12-31T23:59:59.999999Z',
  '1970-01-01T00:00:00.000000Z',
  '2024-02-29T12:00:00.000999Z',
  '2026-01-02T03:04:05.000000Z',
  '2026-01-02T03:04:05.000001Z',
  '2026-01-02T03:04:05.999999Z',
  '2026-11-21T23:59:59.999999Z',
  '2262-04-12T00:00:00.123456Z',
  '9999-12-31T23:59:59.999999Z',
];

const pick = <T>(from: readonly T[], index: number): T => from[index % from.length] as T;

function hostileDraft(n: number): DraftEvent {
  return draft({
    event_id: n % 5 === 0 ? `${n}${LONG_ID.slice(String(n).length)}` : `id-${n}`,
    // Of an entity, so that sorted parts have bounds of their own.
    occurred_at: n % 8 === 0 ? null : pick(TIMES, Math.floor((n % IDS.length) / 2)),
    entity_type: pick(['file', '\uFFFD', '\u{1F600}'], Math.floor(n / 2)),
    entity_id: pick(IDS, n),
    field: pick(['*', 'status', 'é'], Math.floor(n / 3)),
    action: pick(['insert', 'update', 'delete'], Math.floor(n / 5)),
    old_value: pick(VALUES, Math.floor(n / 2)),
    new_value: pick(VALUES, n + 3),
    actor: pick(IDS, n + 5),
    actor_type: pick([null, 'user'], n),
    source: pick([null, 'api', 'git'], n),
    correlation_id: pick([null, LONG_ID], Math.floor(n / 2)),
    metadata: pick([null, '{}', '{"k":"v"}', '[]'], n),
  });
}

/** A journal that lives through everything that happens to one; others beside it. Committed are `acme`'s first `sent`. */
class Life {
  readonly #lab: Lab;
  readonly #journals: Journals;
  #sent = 0;

  constructor(lab: Lab, journals: Journals) {
    this.#lab = lab;
    this.#journals = journals;
  }

  async seal(segments: number, rows = 6): Promise<void> {
    for (let i = 0; i < segments; i++) {
      const drafts = Array.from({ length: rows }, () => hostileDraft(this.#sent++));
      await this.#journals.append('acme', drafts, COMMITTED);
      if (i % 20 === 0) await this.#journals.append('other', drafts.slice(0, 3), COMMITTED);
      this.#lab.clock.ms += 7;
    }
  }

  /** Merges files, and writes a checkpoint where one is due. */
  async compact(): Promise<void> {
    const report = await this.#journals.compact('acme');
    if (report.merges === 0) throw new Error('there was to be something to merge');
  }

  /** What has left the table may be deleted from now on, and the log that a checkpoint stands for. */
  age(): void {
    this.#lab.clock.ms += 2 * HOUR_MS;
  }

  /** As the next writer of a cluster does. */
  async takeOver(): Promise<void> {
    const { storage, engine, tempDir } = this.#journals;
    const table = await DeltaTable.open({ ...storage, engine, tempDir, workspace: 'acme', token: 5 });
    await table?.takeOver();
  }

  async copy(name: string, workspace = 'acme'): Promise<TableCopy> {
    const dir = join(this.#lab.dir, 'copies', name);
    cpSync(join(this.#lab.storeDir, workspace), dir, { recursive: true });
    const snapshot = await this.#journals.snapshot(workspace);
    try {
      const events: JournalEvent[] = [];
      const count = snapshot.committedSeq + 1;
      while (events.length < count) {
        const more = await eventsFrom(this.#journals.engine, snapshot, events.length, count - events.length);
        events.push(...more);
      }
      const files = snapshot.files.map(({ path }) => path);
      return { dir, files, events };
    } finally {
      snapshot.release();
    }
  }
}

export async function buildTables(lab: Lab): Promise<Tables> {
  // The age of files is told by the machine's clock.
  lab.clock.ms = Date.now();
  const journals = await lab.open({ compaction: { isAutomatic: false, graceMs: HOUR_MS, partRows: 100 } });
  const life = new Life(lab, journals);
  await journals.append('tiny', [draft()], COMMITTED);
  await life.seal(12);
  await life.takeOver();
  const appended = await life.copy('appended');
  await life.seal(90);
  const manyAppended = await life.copy('many-appended');
  await life.compact();
  const compacted = await life.copy('compacted');
  life.age();
  await life.seal(9);
  // Durable, not committed: no reader of the table may see it.
  await journals.append('acme', [draft({ event_id: 'not committed' })], DURABLE);
  const appendedAgain = await life.copy('appended-again');
  await life.compact();
  const cleaned = await life.copy('cleaned');
  const another = await life.copy('another', 'other');
  const tiny = await life.copy('tiny', 'tiny');
  return { appended, manyAppended, compacted, appendedAgain, cleaned, another, tiny };
}

/** A copy whose statistics say that each file holds nothing but its least values. Its directory. */
export function withFalseStatistics(copy: TableCopy): string {
  const dir = `${copy.dir}-false`;
  cpSync(copy.dir, dir, { recursive: true });
  const log = join(dir, '_delta_log');
  for (const name of readdirSync(log)) {
    const lines = readFileSync(join(log, name), 'utf8').split('\n').filter(Boolean);
    writeFileSync(join(log, name), lines.map((line) => `${falsified(line)}\n`).join(''));
  }
  return dir;
}

function falsified(line: string): string {
  const action = JSON.parse(line) as { add?: { stats: string } };
  if (!action.add) return line;
  const stats = JSON.parse(action.add.stats) as { minValues: object };
  const add = { ...action.add, stats: JSON.stringify({ ...stats, maxValues: stats.minValues }) };
  return JSON.stringify({ ...action, add });
}
