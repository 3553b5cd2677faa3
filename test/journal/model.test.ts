import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { DraftEvent, Journals, Receipt } from '../../journal/index.ts';
import { type DiskCall, type DiskFault, FaultyDisk } from '../support/faulty-disk.ts';
import { chainFault, draft, Lab, readAll, readInMemory } from '../support/journal-lab.ts';

const WORKSPACES = ['acme', 'beta', 'gamma'];

type Step =
  | { do: 'append'; workspace: number; ids: number[]; content: number; ack: 'durable' | 'committed'; wait: boolean }
  | { do: 'flush' | 'settle' | 'look' | 'restart' | 'earlier' }
  | { do: 'fail'; call: DiskCall; fault: DiskFault; nth: number };

const append: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('append'),
  workspace: fc.nat(WORKSPACES.length - 1),
  // Few ids: sent again, in one batch, in others, with another content now and then.
  ids: fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }),
  content: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.nat(1)),
  ack: fc.oneof({ weight: 6, arbitrary: fc.constant('durable' as const) }, fc.constant('committed' as const)),
  wait: fc.boolean(),
});
const other: fc.Arbitrary<Step> = fc
  .constantFrom('flush', 'settle', 'look', 'look', 'restart', 'earlier')
  .map((what) => ({
    do: what as 'flush',
  }));
// A failed sync stops the log until a restart: that has its own tests.
const fail: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('fail'),
  call: fc.constantFrom('create', 'append', 'close'),
  fault: fc.constantFrom('not-applied', 'applied', 'partial'),
  nth: fc.nat(2),
});
const steps = fc.array(fc.oneof({ weight: 5, arbitrary: append }, { weight: 4, arbitrary: other }, fail), {
  maxLength: 40,
});

/** What was promised: the receipt and the content of every acknowledged event. */
class Promised {
  readonly receipts = new Map<string, Receipt>();
  readonly contents = new Map<string, string | null>();
}

class Run {
  readonly lab = new Lab();
  readonly promised = WORKSPACES.map(() => new Promised());
  disk = new FaultyDisk();
  pending: Promise<void>[] = [];
  journals!: Journals;

  async open(): Promise<void> {
    this.disk = new FaultyDisk();
    this.journals = await this.lab.open({ disk: this.disk, flushEvents: 12 });
  }

  async step(step: Step): Promise<void> {
    if (step.do === 'append') {
      const done = this.append(step);
      this.pending.push(done);
      if (step.wait) await done;
    } else if (step.do === 'flush') {
      this.pending.push(this.journals.flush().then(() => {}));
    } else if (step.do === 'settle') {
      await this.settle();
    } else if (step.do === 'look') {
      await this.look();
    } else if (step.do === 'earlier') {
      this.lab.clock.ms -= 60_000;
    } else if (step.do === 'fail') {
      this.disk.failOnce(
        step.call,
        step.fault === 'partial' && step.call !== 'append' ? 'applied' : step.fault,
        step.nth,
      );
    } else {
      await this.settle();
      await this.lab.close(this.journals);
      await this.open();
      await this.look();
    }
  }

  async append(step: Step & { do: 'append' }): Promise<void> {
    this.lab.clock.ms += 7;
    const workspace = WORKSPACES[step.workspace] as string;
    const promised = this.promised[step.workspace] as Promised;
    const batch = step.ids.map((id) => draft({ event_id: `id-${id}`, new_value: `"${id}/${step.content}"` }));
    try {
      const result = await this.journals.append(workspace, batch, { ack: step.ack, create: true });
      expect(result.count + result.duplicates).toBe(batch.length);
      for (const [index, receipt] of result.receipts.entries()) promise(promised, batch[index] as DraftEvent, receipt);
    } catch (error) {
      expect(error).toMatchObject({ kind: expect.stringMatching(/^(unavailable|conflict)$/) });
    }
  }

  /** I1, I2 and I4, through a snapshot taken at any moment. */
  async look(): Promise<void> {
    for (const [index, workspace] of WORKSPACES.entries()) {
      const promised = this.promised[index] as Promised;
      const before = [...promised.receipts.values()];
      if (!this.journals.has(workspace)) {
        expect(before).toEqual([]);
        continue;
      }
      const events = await readAll(this.journals, workspace);
      expect(chainFault(events)).toBeUndefined();
      expect(events.length).toBeGreaterThanOrEqual(before.length);
      for (const { event_id, seq, event_hash, recorded_at } of before) {
        expect(events[seq]).toMatchObject({ event_id, event_hash, recorded_at });
        expect(events[seq]?.new_value).toBe(promised.contents.get(event_id));
        expect(await this.journals.find(workspace, event_id)).toEqual(events[seq]);
      }
    }
  }

  async settle(): Promise<void> {
    await Promise.all(this.pending.splice(0));
  }
}

/** The same event has one receipt and one content for ever. */
function promise(promised: Promised, sent: DraftEvent, receipt: Receipt): void {
  const first = promised.receipts.get(receipt.event_id);
  expect(receipt.event_id).toBe(sent.event_id);
  if (first) {
    expect({ ...receipt, ack: '' }).toEqual({ ...first, ack: '' });
    expect(promised.contents.get(receipt.event_id)).toBe(sent.new_value);
  }
  promised.receipts.set(receipt.event_id, receipt);
  promised.contents.set(receipt.event_id, sent.new_value);
}

it('any interleaving of appends, seals, failures and restarts keeps what was promised', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (program) => {
      const run = new Run();
      try {
        await run.open();
        for (const step of program) await run.step(step);
        await run.settle();
        await run.look();
        run.disk.decide = () => undefined;
        await run.journals.flush();
        await run.look();
        for (const workspace of run.journals.workspaces()) {
          expect(await readInMemory(run.journals, workspace)).toEqual(await readAll(run.journals, workspace));
          expect(await run.journals.stats(workspace)).toMatchObject({ buffered_events: 0 });
        }
      } finally {
        await run.lab.dispose();
      }
    }),
    { numRuns: Number(process.env.INDELIBLE_TEST_RUNS ?? 40), endOnFailure: false },
  );
}, 120_000);
