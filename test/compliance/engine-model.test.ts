import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Journals } from '../../journal/index.ts';
import { AXIOM_TYPE, UNKNOWN_SOURCE } from '../../projections/index.ts';
import { Lab, readInMemory } from '../support/journal-lab.ts';
import { engineOf, type Heard, idle, send, signals, verdicts } from './judging-lab.ts';

type Step =
  | { do: 'send'; said: { source_id: string; anomaly_score: number; metric_value: number }[] }
  | { do: 'wait' | 'flush' | 'compact' | 'restart' | 'lose the position' | 'lose everything derived' };

const said = fc.record({
  source_id: fc.constantFrom(UNKNOWN_SOURCE, 'a', 'b', 'c', 'd', 'e', 'f', 'g'),
  anomaly_score: fc.constantFrom(0.1, 0.7999, 0.8, 0.95),
  metric_value: fc.integer({ min: 0, max: 3 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('send' as const), said: fc.array(said, { minLength: 1, maxLength: 12 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('wait', 'flush', 'compact', 'restart', 'lose the position', 'lose everything derived'),
    }),
  },
);

class Bench {
  readonly lab: Lab;
  readonly journals: Journals;
  heard: Heard;

  constructor(lab: Lab, journals: Journals, heard: Heard) {
    this.lab = lab;
    this.journals = journals;
    this.heard = heard;
  }

  async take(taken: Step): Promise<void> {
    const isThere = this.journals.has('acme');
    if (taken.do === 'send') await send(this.journals, signals(...taken.said), this.heard);
    else if (taken.do === 'wait') await idle(this.heard);
    else if (taken.do === 'flush') await this.journals.flush();
    else if (taken.do === 'compact') {
      if (isThere) await this.journals.compact('acme');
    } else await this.restart(taken.do);
  }

  /** The engine is stopped wherever it is. */
  async restart(how: string): Promise<void> {
    await this.heard.engine.stop();
    const dir = join(this.lab.dataDir, 'compliance');
    if (how === 'lose the position') await rm(join(dir, 'acme', 'judged.json'), { force: true });
    if (how === 'lose everything derived') await rm(dir, { recursive: true, force: true });
    this.heard = await engineOf(this.lab, this.journals);
    await this.heard.engine.resume();
  }
}

test('whatever happens between: one verdict for each source, on its first signal, and one for each without a source', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const lab = new Lab();
      let bench: Bench | undefined;
      try {
        const journals = await lab.open();
        bench = new Bench(lab, journals, await engineOf(lab, journals));
        for (const taken of steps) await bench.take(taken);
        await idle(bench.heard);
        if (!journals.has('acme')) return;
        const axioms = (await readInMemory(journals, 'acme')).filter(({ entity_type }) => entity_type === AXIOM_TYPE);
        const expected = new Map<string, number>();
        for (const { entity_id, seq } of axioms) {
          const key = entity_id === UNKNOWN_SOURCE ? `signal ${seq}` : `source ${entity_id}`;
          if (!expected.has(key)) expected.set(key, seq);
        }
        const given = (await verdicts(journals)).map(({ source_id, axiom }) => [
          source_id === UNKNOWN_SOURCE ? `signal ${axiom.seq}` : `source ${source_id}`,
          axiom.seq,
        ]);
        expect(given).toHaveLength(expected.size);
        expect(new Map(given as [string, number][])).toEqual(expected);
        expect([bench.heard.failures, bench.heard.faults]).toEqual([[], []]);
      } finally {
        await bench?.heard.engine.stop();
        await lab.dispose();
      }
    }),
    { numRuns: 25 },
  );
}, 120_000);
