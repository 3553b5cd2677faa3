import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RealService } from '../support/real-service.ts';

let service: RealService;
beforeAll(async () => {
  service = await RealService.start();
});
afterAll(() => service.remove());

async function json(args: readonly string[], input?: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await service.cli([...args, '--json'], input === undefined ? {} : { input });
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Record<string, unknown>;
}

type Counts = Record<string, number>;
const sum = (counts: unknown) => Object.values(counts as Counts).reduce((total, count) => total + count, 0);

test('simulate sends made-up signals, waits for their verdicts, and counts what the service counts', async () => {
  const summary = await json(['simulate', '--workspace', 'made', '--limit', '1500', '--seed', '7']);
  expect(summary).toMatchObject({ sent: 1500, accepted: 1500, duplicates: 0, unknown: 0, seed: 7, waiting: 0 });
  expect(summary).toMatchObject({ verdicts: 1500, fallbacks: [] });
  expect(sum(summary.tiers)).toBe(1500);
  expect(sum(summary.risks)).toBe(1500);
  const routed = summary.routed as number;
  expect(routed).toBeGreaterThan(10);
  expect(routed).toBeLessThan(60);
  expect(summary.verdict_ms).toEqual({ p50: expect.any(Number), p99: expect.any(Number) });
  const stats = await service.json<{ tiers: Counts; routed: number; cache: { hit_rate: number } }>(
    '/compliance/stats',
    {
      workspace: 'made',
    },
  );
  expect(stats.tiers).toMatchObject(summary.tiers as Counts);
  expect(stats.routed).toBe(routed);
  expect(summary.cache_hit_rate).toBeCloseTo(stats.cache.hit_rate);
  const again = await json(['simulate', '--workspace', 'made', '--limit', '1500', '--seed', '7']);
  expect(again).toMatchObject({ accepted: 0, duplicates: 1500, waiting: 0 });
  const other = await service.cli(['simulate', '--workspace', 'made', '--limit', '20', '--seed', '8', '--batch', '3']);
  expect(other).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^sent {7}20 in .*: 20 accepted.*\nseed {7}8\n/),
  });
  expect(other.stdout).toMatch(/verdicts {3}20\ntiers .*\nrisks .*\ncache .*\nfallbacks {2}none\nverdict in \d+ ms/);
});

test('simulate reads a file, gzipped too, keeps its numbers, and says which line is wrong', async () => {
  const lines = Array.from(
    { length: 5 },
    (_, at) => `{"source_id":"f/${at}","domain":"x","anomaly_score":0.25,"payload":12345678901234567890}`,
  );
  const file = join(service.dir, 'signals.ndjson.gz');
  await writeFile(file, gzipSync(`${lines.join('\n\n')}\n`));
  const args = ['simulate', '--workspace', 'filed', '--file', file];
  expect(await json([...args, '--limit', '3', '--rate', '100'])).toMatchObject({ sent: 3, verdicts: 3, seed: null });
  expect(await json([...args, '--limit', '100', '--no-wait'])).toMatchObject({ sent: 5, accepted: 2, duplicates: 3 });
  const recorded = await (await service.call('/journal/entity/f%2F0', { workspace: 'filed' })).text();
  expect(recorded).toContain('12345678901234567890');
  const bad = join(service.dir, 'bad.ndjson');
  await writeFile(bad, `${lines[0]}\n{"source_id":\n`);
  const refused = await service.cli(['simulate', '--workspace', 'filed', '--file', bad]);
  expect(refused).toMatchObject({ code: 1, stderr: `indelible: ${bad}, line 2: is not JSON\n` });
  const missing = await service.cli(['simulate', '--workspace', 'filed', '--file', '/nowhere/x.gz', '--limit', '9']);
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('no such file') });
});

test('rebuild prints the certificate', async () => {
  // What was not sealed before is: the certificate is about every verdict there is.
  const { tiers } = (await service.json('/compliance/stats', { workspace: 'made' })) as {
    tiers: Record<string, number>;
  };
  const verdicts = Object.values(tiers).reduce((sum, count) => sum + count, 0);
  const certificate = (await json(['rebuild', '--workspace', 'made'])) as { new: { rows: number } };
  expect(certificate.new.rows).toBeGreaterThan(0);
  expect(certificate.new.rows).toBe(verdicts);
  expect(certificate).toMatchObject({ projection: 'compliance_events', agreed: true, workspace: 'made' });
  const text = await service.cli(['rebuild', 'activity_daily', '--workspace', 'made']);
  expect(text).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^activity_daily, seq 0 to [\d,]+\nold version/),
  });
  expect(text.stdout).toContain('they agree: the new one is in use');
  expect((await service.cli(['rebuild', 'nothing', '--workspace', 'made'])).code).toBe(1);
});

test('ai-key sets the key from stdin, shows everything but it, and removes it', async () => {
  const key = 'AIza-key-on-the-command-line';
  const set = await service.cli(['ai-key', 'set', '--workspace', 'made', '--model', 'gemini-x'], { input: `${key}\n` });
  expect(set).toMatchObject({ code: 0, stdout: expect.stringMatching(/^provider .*gemini\nmodel .*gemini-x\n/) });
  expect(await json(['ai-key', 'show', '--workspace', 'made'])).toMatchObject({ model: 'gemini-x', usable: true });
  expect(set.stdout + set.stderr + service.process.stdout()).not.toContain(key);
  const removed = await service.cli(['ai-key', 'remove', '--workspace', 'made']);
  expect(removed).toMatchObject({ code: 0, stdout: 'removed the AI key of made\n' });
  const gone = await service.cli(['ai-key', 'show', '--workspace', 'made']);
  expect(gone).toMatchObject({ code: 1, stderr: "indelible: 'made' has no AI key of its own\n" });
  const asArgument = await service.cli(['ai-key', 'set', key, '--workspace', 'made']);
  expect(asArgument.code).toBe(2);
});
