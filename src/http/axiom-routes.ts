import type { IncomingMessage } from 'node:http';
import { z } from '@hono/zod-openapi';
import { type FieldSpec, LIMITS } from '../../journal/index.ts';
import { AXIOM_FIELDS, type AxiomBatch, readAxioms } from '../judging/index.ts';
import { openForAppends } from './append-drafts.ts';
import { bodyShape, idempotencyKeyOf } from './append.ts';
import { type BodyBudget, decoded, readDecoded, utf8Text } from './body.ts';
import { giveIds, keyedId, refuseOtherContent } from './idempotency.ts';
import { lineChunks, rebased } from './ndjson.ts';
import { type Priority, priorityOf } from './priority.ts';
import { PartialError, type Progress } from './problem.ts';
import { type App, type Asked, addRoute } from './route.ts';
import { jsonAnswer, PRIORITY_HEADER } from './schemas.ts';
import type { Services, SignalsTaken } from './services.ts';

const NewAxiom = z.object(axiomShape()).strict().openapi('NewAxiom');

const AxiomsAnswer = z
  .object({
    accepted: z
      .int()
      .openapi({ description: 'Signals newly recorded, in a cluster all of them: each gets a verdict.' }),
    duplicates: z.int().nullable().openapi({
      description: 'Signals of this request that were recorded before; null in a cluster, where accepted counts them.',
    }),
    unknown: z.int().openapi({ description: 'Of the signals of this request: those without a source_id.' }),
    first_seq: z.int().nullable().openapi({ description: 'null in a cluster, and where all are duplicates.' }),
    last_seq: z.int().nullable(),
  })
  .openapi('AxiomsAnswer');

type Accepted = { progress: Progress; duplicates: number | null; unknown: number };

/** Takes signals in: durable when it answers, judged afterwards. */
export function addAxiomRoutes(app: App, services: Services, budget: BodyBudget): void {
  addRoute(app, services, {
    method: 'post',
    path: '/axioms',
    summary: 'Take signals in',
    description:
      'One axiom, a JSON array, or NDJSON. The signals are durable when this answers, and judged afterwards: GET /compliance/events shows the verdicts. All or nothing up to 10,000 axioms or 16 MiB; longer NDJSON is taken as a stream in such chunks, and a problem says by `progress` how far it came. Sending the same signals again is safe; a source_id gets one verdict, the first. A signal without source_id is kept as `unknown`, and an Idempotency-Key header makes such a request repeatable too. In a cluster the signals are queued, and recorded with their verdicts: nothing is said of duplicates and positions (null), and of other content under a known Idempotency-Key the journal keeps what it recorded first.',
    scoped: true,
    query: z.object({}),
    headers: z.object({
      'Idempotency-Key': z
        .string()
        .min(1)
        .max(255)
        .optional()
        .openapi({ description: 'Makes the request repeatable where its axioms have no source_id.' }),
      ...PRIORITY_HEADER,
    }),
    body: {
      required: true,
      content: {
        'application/json': { schema: z.union([NewAxiom, z.array(NewAxiom)]) },
        'application/x-ndjson': { schema: z.string().openapi({ description: 'An axiom a line.' }) },
      },
    },
    responses: { 202: jsonAnswer(AxiomsAnswer, 'Recorded; verdicts follow') },
    async handle(asked) {
      const request = asked.c.env.incoming as IncomingMessage;
      services.admission.admit(axiomPriority(request));
      const held = budget.take(request);
      try {
        const { progress, duplicates, unknown } = await new AxiomIntake(services, asked).take(request);
        const { events: accepted, first_seq, last_seq } = progress;
        return asked.c.json({ accepted, duplicates, unknown, first_seq, last_seq }, 202);
      } finally {
        budget.give(held);
      }
    },
  });
}

class AxiomIntake {
  readonly #services: Services;
  readonly #asked: Asked<unknown>;
  readonly #progress: Progress = { events: 0, duplicates: 0, lines: 0, first_seq: null, last_seq: null };
  #unknown = 0;
  /** Whether the journal has told how many were recorded before. */
  #isCounted = true;

  constructor(services: Services, asked: Asked<unknown>) {
    this.#services = services;
    this.#asked = asked;
  }

  async take(request: IncomingMessage): Promise<Accepted> {
    const key = idempotencyKeyOf(request);
    const actor = this.#asked.principal.name;
    if (bodyShape(request) === 'json') {
      const text = utf8Text(await readDecoded(request, LIMITS.bodyBytesMax));
      await this.#record(readAxioms(text, 'json', actor), key, true);
    } else {
      await this.#takeLines(request, key, actor);
    }
    const duplicates = this.#isCounted ? this.#progress.duplicates : null;
    return { progress: this.#progress, duplicates, unknown: this.#unknown };
  }

  async #takeLines(request: IncomingMessage, key: string | undefined, actor: string): Promise<void> {
    try {
      for await (const chunk of lineChunks(decoded(request))) {
        // A body without a single axiom is a fault, an empty end of a longer one is none.
        if (chunk.filled > 0 || (chunk.last && chunk.firstLine === 0)) {
          // The first part was admitted with the request.
          if (chunk.firstLine > 0) this.#services.admission.admit(axiomPriority(request));
          try {
            const isWhole = chunk.last && chunk.firstLine === 0;
            await this.#record(readAxioms(chunk.text, 'ndjson', actor), key, isWhole);
          } catch (error) {
            throw rebased(error, chunk.firstLine);
          }
        }
        this.#progress.lines += chunk.lines;
      }
    } catch (error) {
      throw this.#progress.lines === 0 ? error : new PartialError(error, this.#progress);
    }
  }

  /** `isWhole`: the request holds no other signals. */
  async #record({ drafts, unknown }: AxiomBatch, key: string | undefined, isWhole: boolean): Promise<void> {
    const { axioms, journals, keys, log, metrics } = this.#services;
    const { workspace, requestId } = this.#asked;
    if (key !== undefined) {
      const idOf = (index: number) => keyedId(workspace, key, index);
      // Of what is only queued nothing can be looked up.
      if (isWhole && journals.queue === undefined) await refuseOtherContent(journals, workspace, drafts, idOf);
      giveIds(drafts, this.#progress.events + this.#progress.duplicates, idOf);
    }
    await openForAppends(keys, this.#asked);
    this.#add(await axioms.enqueue(workspace, drafts));
    if (unknown === 0) return;
    this.#unknown += unknown;
    metrics.unknownTaken(unknown);
    log.warn({ request_id: requestId, workspace, signals: unknown }, "signals without source_id are kept as 'unknown'");
  }

  #add({ accepted, duplicates, first_seq, last_seq }: SignalsTaken): void {
    const progress = this.#progress;
    progress.events += accepted;
    progress.duplicates += duplicates ?? 0;
    progress.first_seq ??= first_seq;
    progress.last_seq = last_seq ?? progress.last_seq;
    this.#isCounted &&= duplicates !== null;
  }
}

function axiomPriority(request: IncomingMessage): Priority {
  return priorityOf(request.headers.priority as string | undefined, 'normal');
}

function axiomShape(): Record<string, z.ZodType> {
  const numbers = new Set(['metric_value', 'anomaly_score']);
  return Object.fromEntries(
    Object.entries(AXIOM_FIELDS).map(([name, { description, required, charsMax, kind }]: [string, FieldSpec]) => {
      const value = kind === 'json' ? (numbers.has(name) ? z.number() : z.any()) : z.string().max(charsMax);
      const described = value.openapi({ description });
      return [name, required ? described : described.optional()];
    }),
  );
}
