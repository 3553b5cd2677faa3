/**
 * Deterministic audit events: one seed and stream number, one sequence of bytes, on every machine.
 *
 * 200,000 entities whose popularity falls as 1/rank, six entity types, about five hundred actors; an entity's
 * old_value is the new_value of its previous event on that field, as in a real journal. Both sides of every
 * measurement are fed from here, so that they store the same content.
 */
export interface BenchEvent {
  event_id: string;
  occurred_at: string;
  entity_type: string;
  entity_id: string;
  field: string;
  action: string;
  /** JSON text, or null where there is no value. */
  old_value: string | null;
  new_value: string | null;
  actor: string;
  actor_type: string;
  source: string;
  correlation_id: string;
  metadata: string | null;
}

export type IdKind = 'v7' | 'v4';

const ENTITIES = 200_000;
const ACTORS = 500;
const FIELDS = ['status', 'amount', 'owner', 'note', 'settings'] as const;
const TYPES = ['invoice', 'customer', 'order', 'account', 'document', 'subscription'] as const;
const STATUSES = ['draft', 'open', 'pending', 'approved', 'rejected', 'closed'] as const;
const SOURCES = ['web', 'api', 'mobile', 'billing-sync', 'admin'] as const;
const WORDS = [
  'late',
  'checked',
  'call',
  'customer',
  'again',
  'moved',
  'contract',
  'renewal',
  'tax',
  'address',
  'wrong',
  'paid',
] as const;
const START_MS = Date.UTC(2026, 0, 1);

const HEX = Array.from({ length: 65_536 }, (_, value) => value.toString(16).padStart(4, '0'));

/** sfc32, a small fast generator with 128 bits of state (PractRand). Returns unsigned 32-bit integers. */
export function randomSource(seed: number, stream: number): () => number {
  let a = seed | 0;
  let b = stream | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let round = 0; round < 16; round += 1) next();
  return next;
}

/** The low 16 bits as four hex digits. */
const hex4 = (value: number): string => pick(HEX, value & 0xffff);

function pick<T>(list: readonly T[], index: number): T {
  const found = list[index % list.length];
  if (found === undefined) throw new RangeError(`nothing at ${index}`);
  return found;
}

function uuid(kind: IdKind, ms: number, next: () => number): string {
  const a = next();
  const b = next();
  const c = next();
  const version = `${kind.slice(1)}${hex4(a).slice(1)}`;
  const tail = `${version}-${hex4(0x8000 | (b >>> 18))}-${hex4(b)}${hex4(c >>> 16)}${hex4(c)}`;
  if (kind === 'v4') return `${hex4(next() >>> 16)}${hex4(next() >>> 16)}-${hex4(a >>> 16)}-${tail}`;
  const high = Math.floor(ms / 65_536);
  return `${hex4(high >>> 16)}${hex4(high)}-${hex4(ms)}-${tail}`;
}

/** The JSON text of a field's value at one version; the same arguments give the same text. */
function valueText(entity: number, field: string, version: number): string {
  const mixed = Math.imul(entity * 5 + field.length, 0x9e3779b1) ^ Math.imul(version + 1, 0x85ebca6b);
  const hash = (mixed ^ (mixed >>> 15)) >>> 0;
  const word = (shift: number): string => pick(WORDS, hash >>> shift);
  switch (field) {
    case 'status':
      return `"${pick(STATUSES, hash)}"`;
    case 'amount':
      return String((hash % 1_000_000) / 100);
    case 'owner':
      return `"user-${hash % ACTORS}"`;
    case 'note':
      return `"${word(0)} ${word(4)} ${word(8)} ${word(12)}"`;
    default:
      return `{"notify":${(hash & 1) === 1},"limit":${hash % 500},"tags":["${word(9)}"]}`;
  }
}

/** Entities that the stream may name, each as likely as another: mostly rare ones, as most entities are. */
export function entitySample(count: number, seed: number): { type: string; id: string }[] {
  const next = randomSource(seed, 0);
  return Array.from({ length: count }, () => entityOf(next() % ENTITIES));
}

function entityOf(entity: number): { type: string; id: string } {
  const type = pick(TYPES, entity);
  return { type, id: `${type.slice(0, 3)}-${entity}` };
}

function actionOf(draw: number): string {
  if (draw < 820) return 'update';
  if (draw < 920) return 'insert';
  if (draw < 950) return 'delete';
  return draw < 980 ? 'approve' : 'view';
}

export interface Stream {
  next(): BenchEvent;
}

/**
 * An endless stream of events. Streams with different numbers never share an event id.
 * `startMs` is when the first event occurred; events are about 0.8 s apart.
 */
export function eventStream(options: {
  seed?: number;
  stream: number;
  ids?: IdKind;
  startMs?: number | undefined;
}): Stream {
  const next = randomSource(options.seed ?? 2026, options.stream);
  const ids = options.ids ?? 'v7';
  const versions = new Uint16Array(ENTITIES * FIELDS.length);
  const span = Math.log(ENTITIES);
  let ms = options.startMs ?? START_MS;
  let correlationLeft = 0;
  let correlation = '';
  let actor = 0;

  const startRequest = (): void => {
    correlationLeft = 1 + (next() & 3);
    correlation = `req-${hex4(next() >>> 16)}${hex4(next() >>> 16)}${hex4(next() >>> 16)}`;
    actor = Math.floor(Math.exp((next() / 4_294_967_296) * Math.log(ACTORS)));
  };

  return {
    next() {
      if (correlationLeft === 0) startRequest();
      correlationLeft -= 1;
      ms += next() % 1_560;
      const entity = Math.min(ENTITIES - 1, Math.floor(Math.exp((next() / 4_294_967_296) * span)) - 1);
      const { type, id } = entityOf(entity);
      const draw = next();
      const action = actionOf(draw % 1_000);
      const whole = action === 'insert' || action === 'delete';
      const field = pick(FIELDS, draw >>> 16);
      const slot = entity * FIELDS.length + FIELDS.indexOf(field);
      const version = versions[slot] ?? 0;
      if (action !== 'view') versions[slot] = version + 1;
      const extra = next();
      return {
        event_id: uuid(ids, ms, next),
        occurred_at: new Date(ms).toISOString(),
        entity_type: type,
        entity_id: id,
        field: whole ? '*' : field,
        action,
        old_value: action === 'insert' || action === 'view' ? null : valueText(entity, field, version),
        new_value: action === 'delete' || action === 'view' ? null : valueText(entity, field, version + 1),
        actor: actor < 480 ? `user-${actor}` : `service-${actor}`,
        actor_type: actor < 480 ? 'user' : 'service',
        source: pick(SOURCES, extra),
        correlation_id: correlation,
        metadata:
          extra % 10 < 3
            ? `{"ip":"10.0.${(extra >>> 8) & 15}.${(extra >>> 12) & 255}","v":${(extra >>> 20) % 20}}`
            : null,
      };
    },
  };
}

/** The event as the JSON object that clients send. Every string here is plain ASCII without quotes or backslashes. */
export function toJson(event: BenchEvent): string {
  return (
    `{"event_id":"${event.event_id}","occurred_at":"${event.occurred_at}","entity_type":"${event.entity_type}","entity_id":"${event.entity_id}",` +
    `"field":"${event.field}","action":"${event.action}","old_value":${event.old_value},"new_value":${event.new_value},"actor":"${event.actor}",` +
    `"actor_type":"${event.actor_type}","source":"${event.source}","correlation_id":"${event.correlation_id}","metadata":${event.metadata}}`
  );
}

/** The event as one line of PostgreSQL's COPY text format, in the order of COPY_COLUMNS; nothing here needs escaping. */
export function toCopyLine(event: BenchEvent, workspaceId: string): string {
  return (
    `${event.event_id}\t${event.occurred_at}\t${event.occurred_at}\t${workspaceId}\t${event.entity_type}\t${event.entity_id}\t${event.field}\t${event.action}\t` +
    `${event.old_value ?? '\\N'}\t${event.new_value ?? '\\N'}\t${event.actor}\t${event.actor_type}\t${event.source}\t${event.correlation_id}\t${event.metadata ?? '\\N'}\n`
  );
}

export const COPY_COLUMNS =
  'event_id, occurred_at, recorded_at, workspace_id, entity_type, entity_id, field, action, old_value, new_value, actor, actor_type, source, correlation_id, metadata';
