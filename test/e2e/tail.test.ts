import { afterEach, beforeEach, expect, test } from 'vitest';
import { RealService } from '../support/real-service.ts';

type Seen = { seq: number; event_id: string; event_hash: string };

let service: RealService;
beforeEach(async () => {
  service = await RealService.start({ args: ['--flush-events', '500'] });
});
afterEach(() => service.remove());

/** Reads the stream until it breaks off or `enough` says so. The id of a message is the seq of its event. */
async function follow(seen: Seen[], enough: () => boolean): Promise<void> {
  const last = seen.at(-1);
  const gone = new AbortController();
  const resume: Record<string, string> = last === undefined ? {} : { 'Last-Event-ID': String(last.seq) };
  const path = last === undefined ? '/journal/tail?from_start=true' : '/journal/tail';
  const answer = await service.call(path, { headers: resume, signal: gone.signal });
  expect(answer.headers.get('content-type')).toBe('text/event-stream');
  let text = '';
  try {
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      const messages = text.split('\n\n');
      text = messages.pop() ?? '';
      for (const message of messages) {
        const [, id, data] = /^id: (\d+)\ndata: (.*)$/.exec(message) ?? [];
        if (data === undefined) continue;
        const event = JSON.parse(data) as Seen;
        expect(event.seq).toBe(Number(id));
        seen.push(event);
      }
      if (enough()) return;
    }
  } catch {
    // A killed service breaks the stream off: what was whole counts.
  } finally {
    gone.abort();
  }
}

/** Appends until told to stop; passes over the time the service is away. */
function appendAlways(): { stop(): Promise<void> } {
  let stopped = false;
  const done = (async () => {
    for (let round = 0; !stopped; round++) {
      const events = [0, 1, 2].map((index) => ({
        event_id: `${round}-${index}`,
        entity_type: 'doc',
        entity_id: `d${index}`,
        action: 'touch',
        actor: 'ann',
      }));
      while (!stopped && !(await service.post('/journal/events', events).catch(() => undefined)));
    }
  })();
  return {
    stop() {
      stopped = true;
      return done;
    },
  };
}

test('a tail resumed by Last-Event-ID has every event once, across seals, a restart and a kill', async () => {
  await service.post('/journal/events', { entity_type: 'doc', entity_id: 'first', action: 'touch', actor: 'ann' });
  const appends = appendAlways();
  const seen: Seen[] = [];
  for (const signal of ['SIGTERM', 'SIGKILL', undefined] as const) {
    const goal = seen.length + 800;
    let isReached = false;
    const reading = follow(seen, () => {
      isReached = seen.length >= goal;
      return signal === undefined && isReached;
    });
    await expect.poll(() => isReached, { timeout: 20_000 }).toBe(true);
    if (signal !== undefined) await service.end(signal);
    await reading;
    if (signal !== undefined) await service.startAgain();
  }
  await appends.stop();
  const { persisted_files } = await service.json<{ persisted_files: number }>('/journal/stats');
  expect(persisted_files).toBeGreaterThan(2);
  expect(seen.map((event) => event.seq)).toEqual(seen.map((_, index) => index));
  const exported = await (await service.call('/journal/export?format=ndjson')).text();
  const events = exported
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Seen);
  const short = ({ seq, event_id, event_hash }: Seen) => ({ seq, event_id, event_hash });
  expect(seen.map(short)).toEqual(events.slice(0, seen.length).map(short));
  expect(new Set(events.map((event) => event.event_id)).size).toBe(events.length);
});
