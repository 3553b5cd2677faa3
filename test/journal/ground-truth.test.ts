import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DraftEvent, type JournalEvent, type Journals, readEvents } from '../../journal/index.ts';
import { chainFault, DURABLE, Lab, readAll, readInMemory } from '../support/journal-lab.ts';

const shared = process.env.INDELIBLE_SHARED ?? new URL('../../../shared', import.meta.url).pathname;
const WORKSPACES = [
  ['hono', 9_918],
  ['immudb', 22_383],
  ['tigerbeetle', 26_032],
] as const;
const fileOf = (workspace: string) => join(shared, 'data', `mutations-${workspace}.ndjson.gz`);
const isThere = WORKSPACES.every(([workspace]) => existsSync(fileOf(workspace)));
if (!isThere) console.warn(`SKIPPED: the real histories are not in ${shared}/data; set INDELIBLE_SHARED`);

/** What an input line says, in the order of the file. */
type Line = Record<string, unknown> & { event_id: string; entity_id: string; timestamp: string };

const linesOf = (workspace: string): Line[] =>
  gunzipSync(readFileSync(fileOf(workspace)))
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

/** The recorded event as the input would have said it. */
function said(event: JournalEvent): Record<string, unknown> {
  const value = (text: string | null) => (text === null ? undefined : JSON.parse(text));
  return {
    event_id: event.event_id,
    timestamp: event.occurred_at.replace('000Z', 'Z'),
    entity_type: event.entity_type,
    entity_id: event.entity_id,
    actor: event.actor,
    source: event.source,
    workspace_id: event.workspace_id,
    correlation_id: event.correlation_id,
    field: event.field,
    action: event.action,
    old_value: value(event.old_value),
    new_value: value(event.new_value),
  };
}

const byEntity = <T extends { entity_id: string }>(rows: readonly T[]) => Map.groupBy(rows, (row) => row.entity_id);

// reason: the real histories are not part of the project; the line above says where they are looked for
describe.skipIf(!isThere)('three real histories', () => {
  const lab = new Lab();
  let journals: Journals;
  const batches = new Map<string, DraftEvent[][]>();
  beforeAll(async () => {
    for (const [workspace] of WORKSPACES) {
      const text = gunzipSync(readFileSync(fileOf(workspace)))
        .toString()
        .trim();
      const lines = text.split('\n');
      const parts: DraftEvent[][] = [];
      for (let at = 0; at < lines.length; at += 5000) {
        parts.push(readEvents(lines.slice(at, at + 5000).join('\n'), 'ndjson', workspace));
      }
      batches.set(workspace, parts);
    }
    journals = await lab.open({ flushEvents: 20_000 });
    await Promise.all(WORKSPACES.map(([workspace]) => sendAll(workspace)));
  });
  afterAll(() => lab.dispose());

  async function sendAll(workspace: string): Promise<{ count: number; duplicates: number }> {
    const sums = { count: 0, duplicates: 0 };
    for (const batch of batches.get(workspace) ?? []) {
      const { count, duplicates } = await journals.append(workspace, batch, DURABLE);
      sums.count += count;
      sums.duplicates += duplicates;
    }
    return sums;
  }

  async function expectTruth(workspace: string, count: number): Promise<void> {
    const input = linesOf(workspace);
    const events = await readAll(journals, workspace);
    expect(events).toHaveLength(count);
    expect(events.map(said)).toEqual(input);
    const entities = byEntity(events);
    for (const [entity, lines] of byEntity(input)) {
      expect(entities.get(entity)?.map((event) => event.event_id)).toEqual(lines.map((line) => line.event_id));
    }
    expect(await journals.stats(workspace)).toMatchObject({ total_events: count });
  }

  it.each(WORKSPACES)('%s: %d events, each as it came, in order', (workspace, count) => expectTruth(workspace, count));

  it('the same after a flush', async () => {
    await journals.flush();
    for (const [workspace, count] of WORKSPACES) {
      expect(await journals.stats(workspace)).toMatchObject({ buffered_events: 0 });
      await expectTruth(workspace, count);
    }
  });

  it('the same after a restart, in a chain that holds', async () => {
    await lab.close(journals);
    journals = await lab.open();
    expect(journals.workspaces()).toEqual(['hono', 'immudb', 'tigerbeetle']);
    for (const [workspace, count] of WORKSPACES) await expectTruth(workspace, count);
    expect(chainFault(await readInMemory(journals, 'hono'))).toBeUndefined();
  });

  it('sent again adds nothing', async () => {
    for (const [workspace, count] of WORKSPACES) {
      expect(await sendAll(workspace)).toEqual({ count: 0, duplicates: count });
      expect(await journals.stats(workspace)).toMatchObject({ total_events: count, buffered_events: 0 });
    }
  });
});
