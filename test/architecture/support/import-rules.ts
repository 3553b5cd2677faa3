import path from 'node:path';
import { browserModules, impureCryptoNames, isPure, outsideWorld } from './layers.ts';
import { isNode, type ParsedFile, type SyntaxNode } from './syntax.ts';

/**
 * Doors: a file outside a folder imports only that folder's index.ts; a file inside imports its neighbours directly and
 * never the index.ts of a folder that it lies in.
 */
export function doorViolations(files: readonly ParsedFile[], ranks: readonly string[]): string[] {
  return files.flatMap((file) =>
    file.imports.flatMap(({ target, relative }) => {
      if (!relative || !ranks.includes(target.split('/')[0] ?? '')) return [];
      const folder = path.posix.dirname(target);
      if (target.endsWith('/index.ts') && file.path.startsWith(`${folder}/`)) {
        return [`${file.path} imports the door of its own folder, ${target}`];
      }
      const foreign = foldersOf(target).find((candidate) => !file.path.startsWith(`${candidate}/`));
      if (foreign === undefined || target === `${foreign}/index.ts`) return [];
      return [`${file.path} imports ${target}, past the door ${foreign}/index.ts`];
    }),
  );
}

/** The folders around a file, the outermost first. */
function foldersOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, depth) => parts.slice(0, depth + 1).join('/'));
}

export function pureImportViolations(files: readonly ParsedFile[]): string[] {
  return files.flatMap((file) =>
    file.imports.flatMap((found) => {
      if (outsideWorld.some((pattern) => pattern.test(found.specifier))) {
        return [`${file.path} is pure and imports ${found.specifier}`];
      }
      const impure = found.names.filter((name) => impureCryptoNames.test(name));
      if (/^(node:)?crypto$/.test(found.specifier) && !found.typeOnly && impure.length > 0) {
        return [`${file.path} is pure and imports ${impure.join(', ')} from ${found.specifier}`];
      }
      const neighbour = found.relative && found.target.split('/')[0] === file.path.split('/')[0];
      if (neighbour && !found.typeOnly && !isPure(found.target)) {
        return [`${file.path} is pure and runs ${found.target}, which is not`];
      }
      return [];
    }),
  );
}

const impureMembers = ['Date.now', 'Math.random', 'crypto.randomUUID', 'crypto.getRandomValues', 'performance.now'];
const impureCalls = ['Date', 'fetch', 'setTimeout', 'setInterval', 'setImmediate'];

function nameOf(node: unknown): string {
  if (!isNode(node)) return '';
  if (node.type === 'Identifier' && typeof node.value === 'string') return node.value;
  if (node.type !== 'MemberExpression') return '';
  const object = nameOf(node.object).replace(/^globalThis\./, '');
  return `${object}.${isNode(node.property) ? String(node.property.value ?? '') : ''}`;
}

function impurityOf(node: SyntaxNode): string | undefined {
  if (node.type === 'NewExpression' && nameOf(node.callee) === 'Date') {
    return Array.isArray(node.arguments) && node.arguments.length > 0 ? undefined : 'new Date()';
  }
  if (node.type === 'CallExpression') return impureCalls.find((name) => name === nameOf(node.callee));
  if (node.type !== 'MemberExpression') return undefined;
  const name = nameOf(node);
  return /^process\.\w+$/.test(name) ? name : impureMembers.find((member) => member === name);
}

/** Clock, randomness, environment and timers are arguments of pure code. */
export function pureGlobalViolations(files: readonly ParsedFile[]): string[] {
  const found: string[] = [];
  for (const file of files) {
    file.walk((node) => {
      const impurity = impurityOf(node);
      if (impurity !== undefined) found.push(`${file.path}:${file.lineOf(node)} is pure and uses ${impurity}`);
    });
  }
  return found;
}

/** Nothing that a browser module runs, directly or through others, imports a Node module. */
export function browserViolations(files: readonly ParsedFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const queue = files.filter((file) => browserModules.test(file.path)).map((file) => [file.path]);
  const seen = new Set(queue.flat());
  const found: string[] = [];
  for (let way = queue.shift(); way !== undefined; way = queue.shift()) {
    for (const { target, typeOnly, relative, specifier } of byPath.get(way.at(-1) ?? '')?.imports ?? []) {
      if (typeOnly) continue;
      if (specifier.startsWith('node:')) found.push(`${[...way, specifier].join(' → ')} is not for browsers`);
      if (!relative || seen.has(target)) continue;
      seen.add(target);
      queue.push([...way, target]);
    }
  }
  return found;
}
