import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const CLIENT = join(import.meta.dirname, '../../src/client');

test('the client runs in a browser: nothing of Node, nothing of the server at run time', async () => {
  const files = (await readdir(CLIENT)).filter((name) => name.endsWith('.ts'));
  expect(files.length).toBeGreaterThan(10);
  for (const name of files) {
    const text = await readFile(join(CLIENT, name), 'utf8');
    const imports = [...text.matchAll(/^(?:import|export)\s+(?!type\b)[^;]*?from '([^']+)'/gm)].map(
      (match) => match[1],
    );
    for (const specifier of imports)
      expect({ name, specifier }).toEqual({ name, specifier: expect.stringMatching(/^\.\//) });
    expect(text, name).not.toMatch(/\b(Buffer|process|__dirname|require)\b[.([]/);
  }
});
