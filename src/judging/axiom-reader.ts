import {
  type BodyShape,
  type DraftEvent,
  derivedId,
  FieldReader,
  type FieldSpec,
  type RecordReader,
  readRecords,
} from '../../journal/index.ts';
import { AXIOM_TYPE, UNKNOWN_SOURCE } from '../../projections/index.ts';

const text = (charsMax: number, description: string, kind: FieldSpec['kind'] = 'text'): FieldSpec => ({
  kind,
  required: false,
  charsMax,
  description,
});

/** What a sender may say of a signal: the reader and the OpenAPI description both read it. */
export const AXIOM_FIELDS = {
  source_id: text(
    1024,
    'Names the signal at its source: judged once. Default `unknown`: kept, and judged each by itself.',
  ),
  domain: { ...text(128, 'What kind of system it comes from; policies are chosen by it.'), required: true },
  status: text(128, 'What the source says of it.'),
  metric_value: { ...text(0, 'The value measured.'), kind: 'json' },
  anomaly_score: { ...text(0, 'How unusual it is; from the threshold on it is judged.'), kind: 'json', required: true },
  emitted_at: text(40, 'When, RFC 3339. Default: the time of recording.', 'time'),
  entity_type: text(256, 'What it is about: the type of an entity of the journal.'),
  entity_id: text(1024, 'And its id.'),
  correlation_id: text(512, 'The request or trace it belongs to.'),
  payload: { ...text(0, 'Anything else: any JSON.'), kind: 'json' },
} as const satisfies Record<string, FieldSpec>;

export type AxiomBatch = {
  drafts: DraftEvent[];
  /** How many of them came without a source_id. */
  unknown: number;
};

/**
 * The signals of a request body as the events that record them. The id of each follows from all that was said, so that
 * sending it again records nothing; another signal of the same source is recorded as well, and judged no second time.
 * @throws IndelibleError as readEvents does
 */
export function readAxioms(body: string, shape: BodyShape, actor: string): AxiomBatch {
  return readRecords(body, shape, 'an axiom', () => new AxiomReader(actor));
}

class AxiomReader extends FieldReader implements RecordReader, AxiomBatch {
  readonly drafts: DraftEvent[] = [];
  unknown = 0;
  readonly #actor: string;

  constructor(actor: string) {
    super('an axiom');
    this.#actor = actor;
  }

  get count(): number {
    return this.drafts.length;
  }

  read(value: unknown, pointer: string): void {
    const faultsBefore = this.errors.length;
    const input = this.begin(value, pointer, AXIOM_FIELDS, unknownMember);
    if (input === undefined) return;
    // An empty name is none.
    const isNamed = input.source_id !== undefined && input.source_id !== null && input.source_id !== '';
    const sourceId = isNamed ? this.#text(input, 'source_id') : null;
    const emittedAt = this.time(input, 'emitted_at', AXIOM_FIELDS.emitted_at);
    const correlationId = this.#text(input, 'correlation_id');
    const said = this.#said(input);
    if (this.errors.length > faultsBefore) return;
    const source = sourceId ?? UNKNOWN_SOURCE;
    if (source === UNKNOWN_SOURCE) this.unknown += 1;
    this.drafts.push({
      event_id: source === UNKNOWN_SOURCE ? null : this.#id(source, emittedAt, correlationId, said),
      occurred_at: emittedAt,
      entity_type: AXIOM_TYPE,
      entity_id: source,
      field: '*',
      action: 'ingest',
      old_value: null,
      new_value: said,
      actor: this.#actor,
      actor_type: 'key',
      source: 'axioms',
      correlation_id: correlationId,
      metadata: null,
    });
  }

  /** What the columns of the event do not hold. Numbers stand as they were sent. */
  #said(input: Record<string, unknown>): string {
    let json = `{"domain":${JSON.stringify(this.#text(input, 'domain'))}`;
    const status = this.#text(input, 'status');
    if (status !== null) json += `,"status":${JSON.stringify(status)}`;
    const metricValue = this.#number(input, 'metric_value', false);
    if (metricValue !== null) json += `,"metric_value":${metricValue}`;
    json += `,"anomaly_score":${this.#number(input, 'anomaly_score', true)}`;
    const entityType = this.#text(input, 'entity_type');
    if (entityType !== null) json += `,"entity_type":${JSON.stringify(entityType)}`;
    const entityId = this.#text(input, 'entity_id');
    if (entityId !== null) json += `,"entity_id":${JSON.stringify(entityId)}`;
    if (input.payload !== undefined) json += `,"payload":${this.value(input, 'payload')}`;
    return `${json}}`;
  }

  #id(source: string, emittedAt: string | null, correlationId: string | null, said: string): string {
    return derivedId('indelible axiom', this.#actor, source, emittedAt, correlationId, said);
  }

  /** Its text, as it was sent; null: absent, or a fault. */
  #number(input: Record<string, unknown>, name: 'metric_value' | 'anomaly_score', required: boolean): string | null {
    return this.number(input, name, required) === null ? null : this.value(input, name);
  }

  #text(input: Record<string, unknown>, name: keyof typeof AXIOM_FIELDS): string | null {
    return this.text(input, name, AXIOM_FIELDS[name]);
  }
}

function unknownMember(): string {
  return 'is not a member of an axiom: put it in payload';
}
