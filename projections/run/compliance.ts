import { type Engine, type SqlValue, type Snapshot, withHeld } from '../../journal/index.ts';
import { COMPLIANCE_EVENTS, type ComplianceRow } from '../compliance-events.ts';
import { UNKNOWN_SOURCE, verdictId } from '../signals.ts';
import {
  type ComplianceFilter,
  filterSql,
  matchesFilter,
  mayHoldRows,
  ROW_SELECT,
  rowOf,
} from './compliance-filter.ts';
import { type ComplianceStats, FALLBACKS_SQL, GROUPS_SQL, statsOf } from './compliance-stats.ts';
import { rowsRelation } from './content.ts';
import { FreshVerdicts } from './fresh-verdicts.ts';
import type { RowsFile, TableView } from './projection-table.ts';
import type { ProjectionRunner } from './runner.ts';

export type ComplianceQuery = ComplianceFilter & {
  /** Rows, at least 1. */
  limit: number;
  /** seq of the last row of the page before: go on with older ones. */
  cursorSeq?: number | undefined;
};

export type CompliancePage = {
  /** Newest first by seq. */
  rows: ComplianceRow[];
  /** The next page's cursorSeq; null: there are no further rows. */
  nextSeq: number | null;
  /** Every event up to this seq is in the answer; -1: the journal is empty. */
  position: number;
};

export type ComplianceExport = {
  count: number;
  /** Ascending by seq; as many rows as `count` says, or it throws. To be read, or returned, once: it holds files. */
  batches: AsyncGenerator<ComplianceRow[], void>;
};

/** Rows of a batch of an export: making objects of them holds up the event loop for about 30 ms. */
const BATCH_ROWS = 2_048;

/** Rows of one file that match: all with firstSeq ≤ seq ≤ lastSeq. */
type Batch = { file: RowsFile; firstSeq: number; lastSeq: number; rows: number };

type Exact = { view: TableView; fresh: ComplianceRow[]; position: number };

/** Reads compliance_events as the durable journal has it: the table's rows and those of the tail. */
export class ComplianceEvents {
  readonly #runner: ProjectionRunner;
  readonly #fresh = new Map<string, FreshVerdicts>();
  /** By workspace and key of a file: whether it has a row whose id does not follow from its source. */
  readonly #strange = new Map<string, Map<string, boolean>>();

  constructor(runner: ProjectionRunner) {
    this.#runner = runner;
  }

  /** @throws not-found; unavailable where the projection lags behind for long, or the store fails */
  page(workspace: string, { limit, cursorSeq, ...filter }: ComplianceQuery): Promise<CompliancePage> {
    const below = cursorSeq ?? Number.MAX_SAFE_INTEGER;
    return this.#exactly(workspace, async ({ view, fresh, position }) => {
      const rows = fresh.filter((row) => row.seq < below && matchesFilter(filter, row)).reverse();
      if (rows.length <= limit) rows.push(...(await this.#newest(view.files, filter, below, limit + 1 - rows.length)));
      const shown = rows.slice(0, limit);
      return { rows: shown, nextSeq: rows.length > limit ? (shown.at(-1)?.seq ?? null) : null, position };
    });
  }

  /** One row, unless the source is `unknown`. @throws as page */
  bySource(
    workspace: string,
    sourceId: string,
    more: { limit: number; cursorSeq?: number | undefined },
  ): Promise<CompliancePage> {
    return this.page(workspace, { ...more, sourceId });
  }

  /** The row of a verdict's position. @throws as page */
  async bySeq(workspace: string, seq: number): Promise<ComplianceRow | undefined> {
    return (await this.page(workspace, { seq, limit: 1 })).rows[0];
  }

  /** The row of the signal with this event_id. @throws as page */
  async byAxiom(workspace: string, axiomEventId: string): Promise<ComplianceRow | undefined> {
    return (await this.page(workspace, { axiomEventId, limit: 1 })).rows[0];
  }

  /** Figures of all verdicts of the workspace. @throws as page */
  stats(workspace: string): Promise<ComplianceStats> {
    return this.#exactly(workspace, async ({ view: { files }, fresh, position }) => {
      const rows = (sql: string) => (files.length === 0 ? [] : this.#query(files, sql));
      return statsOf(await rows(GROUPS_SQL), await rows(FALLBACKS_SQL), fresh, position);
    });
  }

  /** All rows that match, in memory a batch at a time. @throws as page */
  async exportRows(
    workspace: string,
    filter: Pick<ComplianceFilter, 'from' | 'to' | 'flagged'>,
  ): Promise<ComplianceExport> {
    const exact = await this.#open(workspace);
    const { view, fresh } = exact;
    try {
      const files = view.files.filter((file) => mayHoldRows(file, filter));
      const newest = fresh.filter((row) => matchesFilter(filter, row));
      const planned: Batch[] = [];
      for (const file of files) planned.push(...(await this.#plan(file, filter)));
      const count = planned.reduce((sum, { rows }) => sum + rows, newest.length);
      const batches = this.#batches(view, planned, filter, newest);
      // Begun, so that whoever gives it up before the first batch lets go of the files too.
      await batches.next();
      return { count, batches };
    } catch (error) {
      view.release();
      throw error;
    }
  }

  /** Batch by batch, not as one stream, which would end early without a word where it fails. */
  async *#batches(
    view: TableView,
    planned: readonly Batch[],
    filter: ComplianceFilter,
    newest: readonly ComplianceRow[],
  ): AsyncGenerator<ComplianceRow[], void> {
    try {
      yield [];
      for (const { file, firstSeq, lastSeq, rows } of planned) {
        const { sql, params } = filterSql(filter);
        const condition = `seq BETWEEN ${firstSeq} AND ${lastSeq} AND ${sql}`;
        const batch = await this.#select([file], condition, params, 'ASC');
        if (batch.length !== rows) throw new Error(`${file.key} has other rows than were counted`);
        yield batch;
      }
      for (let at = 0; at < newest.length; at += BATCH_ROWS) yield newest.slice(at, at + BATCH_ROWS);
    } finally {
      view.release();
    }
  }

  /** Where the rows of a file that match are, by their positions alone. */
  async #plan(file: RowsFile, filter: ComplianceFilter): Promise<Batch[]> {
    const { sql, params } = filterSql(filter);
    const numbered = `SELECT seq, (row_number() OVER (ORDER BY seq) - 1) // ${BATCH_ROWS} AS batch FROM rows WHERE ${sql}`;
    const batches = await this.#query(
      [file],
      `SELECT min(seq) AS first, max(seq) AS last, count(*) AS rows FROM (${numbered}) GROUP BY batch ORDER BY batch`,
      params,
    );
    return batches.map(({ first, last, rows }) => ({
      file,
      firstSeq: Number(first),
      lastSeq: Number(last),
      rows: Number(rows),
    }));
  }

  async #exactly<T>(workspace: string, work: (exact: Exact) => Promise<T>): Promise<T> {
    const exact = await this.#open(workspace);
    try {
      return await work(exact);
    } finally {
      exact.view.release();
    }
  }

  /** The table at, or after, what the journal has committed, with the rest of what is durable. */
  async #open(workspace: string): Promise<Exact> {
    const snapshot = await this.#runner.journals.snapshot(workspace);
    try {
      const view = await this.#runner.view(workspace, COMPLIANCE_EVENTS.name, snapshot.committedSeq);
      try {
        const fresh = await this.#freshRows(snapshot, view);
        return { view, fresh, position: Math.max(view.position, snapshot.durableSeq) };
      } catch (error) {
        view.release();
        throw error;
      }
    } finally {
      snapshot.release();
    }
  }

  #freshRows(snapshot: Snapshot, view: TableView): Promise<ComplianceRow[]> {
    let fresh = this.#fresh.get(snapshot.workspace);
    if (!fresh) {
      fresh = new FreshVerdicts();
      this.#fresh.set(snapshot.workspace, fresh);
    }
    return fresh.rows(snapshot, view.position, (rows) => this.#takenSources(snapshot.workspace, view.files, rows));
  }

  /**
   * Sources that have a row in the table. Of verdicts whose id follows from the source the journal has one only, so a
   * row is looked for where its own id, or one in the file, is another.
   */
  async #takenSources(
    workspace: string,
    files: readonly RowsFile[],
    rows: readonly ComplianceRow[],
  ): Promise<Set<string>> {
    const named = rows.filter(({ source_id }) => source_id !== UNKNOWN_SOURCE);
    const strange = named.filter(
      (row) => row.id !== verdictId({ source_id: row.source_id, event_id: row.axiom_event_id }),
    );
    const taken = new Set<string>();
    const isStrange = named.length === 0 ? new Map() : await this.#strangeFiles(workspace, files);
    for (const file of files) {
      const asked = isStrange.get(file.key) ? named : strange;
      if (asked.length === 0) continue;
      const list = asked.map((_, index) => `$${index + 1}`).join(', ');
      const params = asked.map(({ source_id }) => source_id);
      for (const { source_id } of await this.#query(
        [file],
        `SELECT source_id FROM rows WHERE source_id IN (${list})`,
        params,
      )) {
        taken.add(String(source_id));
      }
    }
    return taken;
  }

  /** Each file is looked at once; what is known of files that are gone goes. */
  async #strangeFiles(workspace: string, files: readonly RowsFile[]): Promise<Map<string, boolean>> {
    const known = this.#strange.get(workspace);
    const strange = new Map<string, boolean>();
    for (const file of files) strange.set(file.key, known?.get(file.key) ?? (await this.#isStrange(file)));
    this.#strange.set(workspace, strange);
    return strange;
  }

  async #isStrange(file: RowsFile): Promise<boolean> {
    const sql = `SELECT count(*) AS strange FROM rows WHERE source_id <> '${UNKNOWN_SOURCE}' AND id <> ${VERDICT_ID_SQL}`;
    const [row] = await this.#query([file], sql);
    return Number(row?.strange) > 0;
  }

  /** Newest files first, more at a time where those before had too few. */
  async #newest(
    files: readonly RowsFile[],
    filter: ComplianceFilter,
    below: number,
    limit: number,
  ): Promise<ComplianceRow[]> {
    const left = files.filter((file) => file.firstSeq < below && mayHoldRows(file, filter));
    const rows: ComplianceRow[] = [];
    const { sql, params } = filterSql(filter);
    for (let taken = 1; left.length > 0 && rows.length < limit; taken *= 4) {
      const newest = left.splice(-taken);
      // Positions first: of the other columns only what is shown is read.
      const order = `ORDER BY seq DESC LIMIT ${limit - rows.length}`;
      const found = await this.#query(newest, `SELECT seq FROM rows WHERE seq < ${below} AND ${sql} ${order}`, params);
      const seqs = found.map(({ seq }) => Number(seq));
      const [highest, lowest] = [seqs[0], seqs.at(-1)];
      if (lowest === undefined) continue;
      const condition = `seq BETWEEN ${lowest} AND ${highest} AND seq IN (${seqs.join(', ')})`;
      rows.push(...(await this.#select(newest, condition, [], 'DESC')));
    }
    return rows;
  }

  async #select(
    files: readonly RowsFile[],
    condition: string,
    params: readonly SqlValue[],
    direction: 'ASC' | 'DESC',
  ): Promise<ComplianceRow[]> {
    const sql = `SELECT ${ROW_SELECT} FROM rows WHERE ${condition} ORDER BY seq ${direction}`;
    return (await this.#query(files, sql, params)).map(rowOf);
  }

  #query(files: readonly RowsFile[], sql: string, params: readonly SqlValue[] = []) {
    const { engine, storage } = this.#runner.journals;
    return withHeld(storage.cache, files, (paths) => runOver(engine, paths, sql, params));
  }
}

function runOver(engine: Engine, paths: readonly string[], sql: string, params: readonly SqlValue[]) {
  return engine.all(`WITH rows AS ${rowsRelation(COMPLIANCE_EVENTS, paths)} ${sql}`, params);
}

/** The id that `verdictId` gives a source, in SQL: UUID version 8 (RFC 9562) of a SHA-256. */
const VERDICT_ID_SQL = `(SELECT concat(h[1:8], '-', h[9:12], '-8', h[14:16], '-',
  substr('89ab', (strpos('0123456789abcdef', h[17]) - 1) % 4 + 1, 1), h[18:20], '-', h[21:32])
  FROM (SELECT sha256('indelible verdict of source ' || source_id) AS h))`;
