/** Writes a WAL file as a proved Parquet segment, as the sealing process does: `segment-writer.ts WAL OUTPUT RESULT ROUNDS`. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Engine } from '../../journal/index.ts';
import { type SegmentPlan, writeSegments } from '../../journal/segment/index.ts';

type Line = { workspace_id: string; seq: number; prev_hash: string };

const [wal = '', output = '', result = '', rounds = '1'] = process.argv.slice(2);
/** Far more than a line of the generator's. */
const LINE_BYTES_MAX = 64 * 1024;

/** All but the events of the service's own workspace, which come first. */
function planOf(path: string): SegmentPlan {
  const text = readFileSync(path, 'utf8');
  const at = text.search(/^.*"workspace_id":"[^_"][^"]*"\}$/m);
  const first = JSON.parse(text.slice(at, text.indexOf('\n', at))) as Line;
  const last = JSON.parse(text.slice(text.lastIndexOf('\n', text.length - 2) + 1)) as Line;
  return {
    workspace: first.workspace_id,
    firstSeq: first.seq,
    lastSeq: last.seq,
    prevHash: first.prev_hash,
    outPath: output,
  };
}

const plan = planOf(wal);
const engine = await Engine.open({
  path: ':memory:',
  tempDir: `${output}.tmp`,
  memoryLimitBytes: 512 * 1024 * 1024,
  threads: 2,
  concurrency: 1,
});
const seconds: number[] = [];
for (let round = 0; round < Number(rounds); round += 1) {
  const began = performance.now();
  await writeSegments(engine, { path: wal, lineBytesMax: LINE_BYTES_MAX }, [plan]);
  seconds.push((performance.now() - began) / 1_000);
  if (round < Number(rounds) - 1) rmSync(output);
}
engine.close();
writeFileSync(
  result,
  JSON.stringify({ seconds, rows: plan.lastSeq - plan.firstSeq + 1, bytes: statSync(output).size }),
);
