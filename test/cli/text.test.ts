import { expect, test } from 'vitest';
import { parseExactJson } from '../../src/cli/exact-json.ts';
import { ProgressBar, progressLine } from '../../src/cli/progress.ts';
import { readParam } from '../../src/cli/sql-command.ts';
import { renderPairs, renderTable } from '../../src/cli/table.ts';
import { bytesText, cutText, durationText, safeText, textWidth, valueText } from '../../src/cli/text.ts';

test('a value cannot move the cursor, fake a line or turn the direction of writing', () => {
  expect(safeText('a\u001b[2Jb\nc\td\u202ee\u0000')).toBe('a\\u001b[2Jb\\nc\\td\\u202ee\\u0000');
  expect(safeText('größe 漢字 👩‍👩‍👧')).toBe('größe 漢字 👩‍👩‍👧');
});

test('width counts columns, cutting keeps whole characters', () => {
  expect(textWidth('漢字')).toBe(4);
  expect(textWidth('e\u0301')).toBe(1);
  expect(textWidth('👩‍👩‍👧')).toBe(2);
  expect(cutText('abcdef', 6)).toBe('abcdef');
  expect(cutText('abcdef', 4)).toBe('abc…');
  expect(cutText('漢字漢字', 5)).toBe('漢字…');
  expect(cutText('👩‍👩‍👧👩‍👩‍👧', 3)).toBe('👩‍👩‍👧…');
});

test('tables align, numbers to the right, and nothing trails', () => {
  const columns = [{ title: 'n', align: 'right' as const }, { title: 'name' }, { title: 'v' }];
  const rows = [
    [1, '漢', { a: [1] }],
    [100, 'long name', undefined],
  ];
  expect(renderTable(columns, rows)).toBe(
    ['  n  name       v', '  1  漢         {"a":[1]}', '100  long name', ''].join('\n'),
  );
  expect(renderTable(columns, rows, 8)).toBe(['  n  na…', '  1  漢…', '100  lo…', ''].join('\n'));
  expect(renderTable([{ title: 'only' }], [])).toBe('only\n');
});

test('pairs align', () => {
  expect(
    renderPairs([
      ['a', 1],
      ['long', null],
    ]),
  ).toBe('a     1\nlong  null\n');
});

test('numbers survive as they were written', () => {
  const text = '{"a":12345678901234567890,"b":1.0,"c":[1e400,-0],"d":0.1,"e":"1.0"}';
  expect(JSON.stringify(parseExactJson(text))).toBe(text);
  expect(valueText(parseExactJson('12345678901234567890'))).toBe('12345678901234567890');
});

test('parameters are JSON scalars, or text', () => {
  const given = ['5', '-0.5', 'true', 'null', '"5"', 'src/a.ts', '{"a":1}', '[1]', '', '9007199254740993'];
  expect(given.map(readParam)).toEqual([
    5,
    -0.5,
    true,
    null,
    '5',
    'src/a.ts',
    '{"a":1}',
    '[1]',
    '',
    '9007199254740993',
  ]);
});

test('sizes and durations', () => {
  expect([0, 1023, 1024, 5_368_709_120].map(bytesText)).toEqual(['0 B', '1023 B', '1.0 KiB', '5.0 GiB']);
  expect([-5, 400, 12_000, 200_000, 7_500_000].map(durationText)).toEqual([
    '0.0 s',
    '0.4 s',
    '12 s',
    '3 min 20 s',
    '2 h 5 min',
  ]);
});

test('a progress line tells share, rate and what is left', () => {
  expect(progressLine({ phase: 'recording', doneBytes: 512, totalBytes: 1024, rows: 3000 }, 2000)).toBe(
    'recording [############------------]  50%  512 B of 1.0 KiB  3,000 rows  1,500 rows/s  eta 2.0 s',
  );
  expect(progressLine({ phase: 'sending', doneBytes: 0, totalBytes: 0 }, 0)).toContain('  0%');
  expect(progressLine({ phase: 'recording', doneBytes: 0, totalBytes: 1024, rows: 10 }, 1000)).not.toContain('eta');
});

function drawn(isTTY: boolean, times: number[]): string[] {
  const written: string[] = [];
  let now = 0;
  const bar = new ProgressBar({ isTTY, columns: 40, write: (text) => written.push(text) }, () => now);
  for (const time of times) {
    now = time;
    bar.show({ phase: 'sending', doneBytes: time, totalBytes: 10_000 });
  }
  bar.clear();
  return written;
}

test('the bar redraws itself on a terminal, and is a line now and then elsewhere', () => {
  const onTerminal = drawn(true, [0, 50, 150, 200]);
  expect(onTerminal).toHaveLength(3);
  expect(onTerminal.every((text) => text.startsWith('\r\u001b[K') && text.length <= 39 + 4)).toBe(true);
  const elsewhere = drawn(false, [0, 1000, 2000, 3000, 4000, 6500]);
  expect(elsewhere).toHaveLength(2);
  expect(elsewhere.every((text) => text.endsWith('\n') && !text.includes('\u001b'))).toBe(true);
});
