import { invalid, type Snapshot, segmentsSql, withHeld } from '../journal/index.ts';
import { applyToEntityState, type EntityState, emptyEntityState } from '../projections/index.ts';
import { conditionSql, type EventFilter, matches, mayHold, type SeqRange } from './filters.ts';
import type { EntityReader } from './entity-reader.ts';
import { entityPage } from './history.ts';

export type StateQuery = {
  entityId: string;
  entityType?: string | undefined;
  /**
   * A position (that event included), or a time. A time counts every event that says it occurred by then, whenever it
   * was recorded, in the order of seq: history that is imported later still answers for its own time. What an answer
   * was on a certain day is therefore asked by position.
   */
  at: { seq: number } | { time: string };
};

/** `entity_type` is null where there is no event; `complete_through`: the newest seq that was taken into account. */
export type EntityStateAnswer = EntityState & {
  entity_id: string;
  entity_type: string | null;
  complete_through: number;
};

const PAGE_EVENTS = 2_000;
const TYPES_LISTED_MAX = 20;

/**
 * The fields of an entity at a position or a time. `events` is 0 where the entity had none by then.
 *
 * @throws invalid at /type where events of several entity types carry the id and none is given.
 */
export async function stateAt(reader: EntityReader, snapshot: Snapshot, query: StateQuery): Promise<EntityStateAnswer> {
  const filter: EventFilter & { entityId: string } = { entityId: query.entityId, entityType: query.entityType };
  const range: SeqRange = { above: -1, upTo: snapshot.durableSeq };
  if ('seq' in query.at) range.upTo = Math.min(query.at.seq, snapshot.durableSeq);
  else filter.until = query.at.time;

  const state = emptyEntityState();
  const whole = { ...range };
  let entityType: string | null = null;
  for (let more = true; more; ) {
    const page = await entityPage(reader, snapshot, { filter, range, order: 'asc', limit: PAGE_EVENTS, lean: true });
    for (const event of page.events) {
      entityType ??= event.entity_type;
      if (event.entity_type !== entityType) throw await severalTypes(reader, snapshot, filter, whole);
      applyToEntityState(state, event);
    }
    range.above = page.events.at(-1)?.seq ?? range.upTo;
    more = page.more;
  }
  return { entity_id: query.entityId, entity_type: entityType, complete_through: whole.upTo, ...state };
}

async function severalTypes(
  reader: EntityReader,
  snapshot: Snapshot,
  filter: EventFilter & { entityId: string },
  range: SeqRange,
): Promise<Error> {
  const types = new Set<string>();
  const files = snapshot.files.filter((file) => mayHold(file, filter, range));
  if (files.length > 0) {
    const condition = conditionSql(filter, range);
    const rows = await withHeld(snapshot, files, (paths) =>
      reader.engine.all<{ entity_type: string }>(
        `SELECT DISTINCT entity_type FROM (${segmentsSql(paths)}) WHERE ${condition.sql} ORDER BY entity_type LIMIT ${TYPES_LISTED_MAX + 1}`,
        condition.params,
      ),
    );
    for (const row of rows) types.add(row.entity_type);
  }
  for (const event of snapshot.tailOfEntity(filter.entityId)) {
    if (types.size > TYPES_LISTED_MAX) break;
    if (event.seq <= range.upTo && matches(filter, event)) types.add(event.entity_type);
  }
  const listed = [...types].sort().slice(0, TYPES_LISTED_MAX);
  const names = listed.map((type) => JSON.stringify(type)).join(', ') + (types.size > listed.length ? ' …' : '');
  return invalid([{ pointer: '/type', message: `several entity types have this id: name one with ?type= (${names})` }]);
}
