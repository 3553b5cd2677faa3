import { describe, expect, it } from 'vitest';
import { countResults } from '../../scripts/count-results.mjs';

const file = (status: string, ...results: string[]) => ({
  name: 'a.test.ts',
  status,
  assertionResults: results.map((result) => ({ status: result, fullName: result })),
});

describe('the closing line of the build', () => {
  it('counts what vitest counted', () => {
    const report = { testResults: [file('passed', 'passed', 'pending'), file('failed', 'failed', 'passed')] };
    expect(countResults(report, 1)).toEqual({ passed: 2, skipped: 1, failures: ['a.test.ts: failed'] });
  });

  it('counts a file that did not load', () => {
    expect(countResults({ testResults: [file('failed'), file('passed', 'passed')] }, 1).failures).toHaveLength(1);
  });

  it('counts a run that failed outside any test, and one that did nothing', () => {
    expect(countResults({ testResults: [file('passed', 'passed')] }, 1).failures).toHaveLength(1);
    expect(countResults({ testResults: [file('passed', 'passed')] }, 0).failures).toEqual([]);
    expect(countResults({ testResults: [] }, 0).failures).toEqual(['no test ran']);
    expect(countResults(undefined, 1).failures).toEqual(['no test ran']);
  });
});
