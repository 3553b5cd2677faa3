import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RealService } from '../../support/real-service.ts';

let service: RealService;
beforeAll(async () => {
  service = await RealService.start();
});
afterAll(() => service.remove());

const COUNT = 500;
const ID = 'folder/entity-7';

const history = async () => (await service.json<{ events: unknown[] }>(`/journal/entity/${ID}?limit=1000`)).events;

async function metric(name: string): Promise<number> {
  const text = await (await service.call('/metrics')).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

it('the service builds history blocks for what is asked, and answers alike with them, after a restart, and without', {
  timeout: 120_000,
}, async () => {
  const events = Array.from({ length: COUNT }, (_, index) => ({
    ...{
      entity_type: 'file',
      entity_id: `folder/entity-${index % 20}`,
      action: 'update',
      actor: 'ann',
      source: 'test',
    },
    new_value: { index },
  }));
  await service.post('/journal/events', events);
  await service.post('/journal/flush', {});
  const truth = await history();
  expect(truth).toHaveLength(COUNT / 20);
  // Another entity: what was read once is kept in memory.
  await service.json('/journal/entity/folder/entity-8');
  while ((await metric('indelible_history_build_seconds_count')) < 1) await history();
  expect(await metric('indelible_history_bytes')).toBeGreaterThan(0);
  expect(await metric('indelible_history_hits_total')).toBe(0);
  await service.json('/journal/entity/folder/entity-9');
  expect(await metric('indelible_history_hits_total')).toBe(1);

  const dir = join(service.dataDir, 'history');
  expect(readdirSync(dir)).toHaveLength(1);
  expect(await service.end('SIGTERM')).toBe(0);
  await service.startAgain();
  expect(await history()).toEqual(truth);
  expect(await metric('indelible_history_hits_total')).toBe(1);
  expect(await metric('indelible_history_misses_total')).toBe(0);

  await service.end('SIGKILL');
  rmSync(dir, { recursive: true });
  await service.startAgain();
  expect(await history()).toEqual(truth);
  expect(await metric('indelible_history_misses_total')).toBe(1);
});

it('no blocks are kept where they are turned off', { timeout: 60_000 }, async () => {
  const without = await RealService.start({ env: { INDELIBLE_HISTORY_DISK_BYTES: '0' } });
  try {
    const event = { entity_type: 'file', entity_id: ID, action: 'update', actor: 'ann', source: 'test' };
    await without.post('/journal/events', [event]);
    await without.post('/journal/flush', {});
    for (let question = 0; question < 3; question += 1) {
      const { events } = await without.json<{ events: unknown[] }>(`/journal/entity/${ID}`);
      expect(events).toHaveLength(1);
    }
    expect(existsSync(join(without.dataDir, 'history'))).toBe(false);
  } finally {
    await without.remove();
  }
});
