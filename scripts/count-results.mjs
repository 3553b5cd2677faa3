// Reads vitest's JSON report and prints what a reader of a build log wants: the failures by name, then
// `N passed, N failed` alone on the last line. Exit code 1 when anything failed or nothing ran.
//
//   node scripts/count-results.mjs REPORT EXIT_CODE_OF_VITEST
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A report with no test that failed, from a run that did: what happened lies outside any test, and counts as one. */
export function countResults(report, exitCode) {
  const failures = [];
  let passed = 0;
  let skipped = 0;
  for (const file of report?.testResults ?? []) {
    const before = failures.length;
    for (const { status, fullName } of file.assertionResults) {
      if (status === 'passed') passed += 1;
      else if (status === 'failed') failures.push(`${file.name}: ${fullName}`);
      else skipped += 1;
    }
    if (file.status === 'failed' && failures.length === before) failures.push(`${file.name}: did not load`);
  }
  if (failures.length === 0 && passed === 0) failures.push('no test ran');
  if (failures.length === 0 && exitCode !== 0) failures.push(`the run ended with exit code ${exitCode}`);
  return { passed, skipped, failures };
}

function main(reportFile, exitCode) {
  const text = existsSync(reportFile) ? readFileSync(reportFile, 'utf8') : '';
  const { passed, skipped, failures } = countResults(text === '' ? undefined : JSON.parse(text), Number(exitCode));
  for (const failure of failures) console.log(`FAILED ${failure}`);
  if (skipped > 0) console.log(`skipped: ${skipped}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv[2] ?? '', process.argv[3] ?? '1');
}
