import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { DirectoryStore, type Journals } from '../../journal/index.ts';
import { ComplianceEvents, PROJECTIONS, type ProjectionRunner } from '../../projections/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { COMMITTED, drafts, errorOf, Lab } from '../support/journal-lab.ts';
import { manualRunner, verdictEvent } from './projection-lab.ts';

let lab: Lab;
let store: FaultyStore;
let journals: Journals;
let runners: ProjectionRunner[];
beforeEach(async () => {
  lab = new Lab();
  store = new FaultyStore(new DirectoryStore(lab.storeDir));
  journals = await lab.open({ store });
  runners = [];
});
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(runners.map((runner) => runner.close()));
  await lab.dispose();
});

/** The runner of one of several processes: its tables are its own memory of what is in the store. */
function runnerThat(folds: (workspace: string) => boolean, isAutomatic = false): ProjectionRunner {
  const runner = manualRunner(journals, { folds, isAutomatic });
  runners.push(runner);
  return runner;
}

const projectionPuts = () =>
  store.calls.filter(({ call, key }) => /^put/.test(call) && key.includes('_projections')).length;

it('who does not fold waits for who does, and sees the same rows', async () => {
  await journals.append('acme', [...drafts('a', 3), verdictEvent('one')], COMMITTED);
  const [reader, folder] = [runnerThat(() => false), runnerThat(() => true)];
  const page = new ComplianceEvents(reader).page('acme', { limit: 10 });
  const activity = reader.view('acme', 'activity_daily', 3);
  // It has looked, and has folded nothing.
  await vi.waitFor(() =>
    expect(store.calls.some(({ call, key }) => call === 'list' && key.includes('_projections/activity_daily'))).toBe(
      true,
    ),
  );
  expect(projectionPuts()).toBe(0);
  await folder.catchUp('acme');
  expect((await page).rows).toMatchObject([{ source_id: 'one' }]);
  const view = await activity;
  expect(view).toMatchObject({ position: 3, version: 1 });
  view.release();
});

it('a position without a row is there for the others too', async () => {
  const [reader, folder] = [runnerThat(() => false), runnerThat(() => true)];
  for (let round = 0; round < 3; round++) {
    await journals.append('acme', drafts(`r${round}-`, 2), COMMITTED);
    await folder.catchUp('acme');
    const view = await reader.view('acme', 'compliance_events', 2 * round + 1);
    expect(view).toMatchObject({ position: 2 * round + 1, files: [] });
    view.release();
  }
});

it('the automatic runner folds only what is its own, and what becomes its own when it is told', async () => {
  const own = new Set(['acme']);
  const runner = runnerThat((workspace) => own.has(workspace), true);
  const position = (workspace: string) => runner.table(workspace, 'activity_daily').position;
  await journals.append('other', drafts('o', 2), COMMITTED);
  await journals.append('acme', drafts('a', 2), COMMITTED);
  await vi.waitFor(() => expect(position('acme')).toBe(1));
  // Whoever was told of first would have been folded first.
  expect(position('other')).toBe(-1);
  own.add('other');
  runner.wakeAll();
  await vi.waitFor(() => expect(position('other')).toBe(1));
});

it('catchUp waits until the others are there, for all projections', async () => {
  await journals.append('acme', [...drafts('a', 3), verdictEvent('one')], COMMITTED);
  const [waiting, folder] = [runnerThat(() => false), runnerThat(() => true)];
  const done = waiting.catchUp('acme');
  await folder.catchUp('acme');
  await done;
  for (const { name } of PROJECTIONS) expect(waiting.table('acme', name).position).toBe(3);
  expect(await errorOf(waiting.catchUp('nothing'))).toMatchObject({ kind: 'not-found' });
});

it('a reader that becomes the one who folds does so', async () => {
  await journals.append('acme', [verdictEvent('one')], COMMITTED);
  let isOwn = false;
  const runner = runnerThat(() => isOwn);
  const view = runner.view('acme', 'compliance_events', 0);
  isOwn = true;
  const { files, release } = await view;
  expect(files).toMatchObject([{ rows: 1 }]);
  release();
});

it('a version that another process made is read, also where no event came since', async () => {
  await journals.append('acme', [verdictEvent('one')], COMMITTED);
  const [reader, folder] = [runnerThat(() => false), runnerThat(() => true)];
  await folder.catchUp('acme');
  const version = async () => {
    const view = await reader.view('acme', 'compliance_events', 0);
    view.release();
    return view.version;
  };
  expect(await version()).toBe(1);
  await folder.rebuild('acme', 'compliance_events', { by: 'olga', force: false });
  expect(await version()).toBe(1);
  lab.clock.ms += 1_001;
  expect(await version()).toBe(2);
});

it('where nobody folds a reader is told so after a while', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await journals.append('acme', [verdictEvent('one')], COMMITTED);
  const error = errorOf(runnerThat(() => false).view('acme', 'compliance_events', 0));
  await vi.waitFor(() => expect(store.calls.some(({ key }) => key.includes('_projections'))).toBe(true));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await error).toMatchObject({
    kind: 'unavailable',
    retryAfterS: 1,
    message: expect.stringContaining('catching up'),
  });
  expect(projectionPuts()).toBe(0);
});
