import { isNode, type ParsedFile, type SyntaxNode } from './syntax.ts';

export const fileLinesMax = 400;
export const functionLinesMax = 70;

export function lengthViolations(files: readonly ParsedFile[]): string[] {
  return files.flatMap((file) => {
    const lines = file.text.replace(/\n$/, '').split('\n').length;
    return lines > fileLinesMax ? [`${file.path} has ${lines} lines; at most ${fileLinesMax}`] : [];
  });
}

const functionTypes = [
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'ClassMethod',
  'PrivateMethod',
  'Constructor',
  'MethodProperty',
  'GetterProperty',
  'SetterProperty',
];

/** A `describe` block is a heading, not a function: its length says nothing. */
function isDescribeBlock(parents: readonly SyntaxNode[]): boolean {
  const call = parents.at(-1);
  return call?.type === 'CallExpression' && calleePath(call.callee)[0] === 'describe';
}

/** The names in a callee: `describe.skipIf(x)(…)` → describe, skipIf. */
function calleePath(callee: unknown): string[] {
  if (!isNode(callee)) return [];
  if (callee.type === 'Identifier') return [String(callee.value)];
  if (callee.type === 'CallExpression' || callee.type === 'TaggedTemplateExpression') {
    return calleePath(callee.callee ?? callee.tag);
  }
  if (callee.type !== 'MemberExpression') return [];
  return [...calleePath(callee.object), isNode(callee.property) ? String(callee.property.value) : ''];
}

/** How many functions were measured, and which are too long. */
export function functionLengths(files: readonly ParsedFile[]): { measured: number; violations: string[] } {
  const violations: string[] = [];
  let measured = 0;
  for (const file of files) {
    file.walk((node, parents) => {
      if (!functionTypes.includes(node.type) || isDescribeBlock(parents)) return;
      measured += 1;
      const lines = file.lineCountOf(node);
      if (lines <= functionLinesMax) return;
      violations.push(`${file.path}:${file.lineOf(node)} is a function of ${lines} lines; at most ${functionLinesMax}`);
    });
  }
  return { measured, violations };
}

const kebabFile = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)+$/;
const kebabFolder = /^[a-z0-9]+(-[a-z0-9]+)*$/;

export function nameViolations(paths: readonly string[]): string[] {
  return paths.filter((path) => {
    const parts = path.split('/');
    const file = parts.pop() ?? '';
    return !kebabFile.test(file) || !parts.every((folder) => kebabFolder.test(folder));
  });
}

/** `any` switches the types off for everything it touches; `unknown` and a check do the same work in the open. */
export function anyViolations(files: readonly ParsedFile[]): string[] {
  const found: string[] = [];
  for (const file of files) {
    file.walk((node) => {
      if (node.type === 'TsKeywordType' && node.kind === 'any')
        found.push(`${file.path}:${file.lineOf(node)} says any`);
    });
    if (/@ts-(ignore|nocheck)/.test(withoutStrings(file))) found.push(`${file.path} switches the type check off`);
  }
  return found;
}

const focusing = ['only'];
const skipping = ['skip', 'skipIf', 'runIf', 'todo', 'fails'];
const suites = ['describe', 'it', 'test', 'suite', 'bench'];

/** No `.only`; a `.skip` of any kind says why in a comment `// reason: …` on its line or the one above. */
export function skippedTestViolations(files: readonly ParsedFile[]): string[] {
  const found: string[] = [];
  for (const file of files) {
    const lines = file.text.split('\n');
    file.walk((node, parents) => {
      if (node.type !== 'MemberExpression' || parents.at(-1)?.type === 'MemberExpression') return;
      const [suite, ...modifiers] = calleePath(node);
      if (suite === undefined || !suites.includes(suite)) return;
      const line = file.lineOf(node);
      if (modifiers.some((word) => focusing.includes(word))) found.push(`${file.path}:${line} runs only itself`);
      const reason = lines.slice(Math.max(0, line - 2), line).some((text) => /\/\/ reason: \S/.test(text));
      if (modifiers.some((word) => skipping.includes(word)) && !reason)
        found.push(`${file.path}:${line} skips silently`);
    });
  }
  return found;
}

const unfinished = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`);

export function unfinishedViolations(files: readonly ParsedFile[]): string[] {
  return files.flatMap((file) =>
    file.text
      .split('\n')
      .flatMap((line, index) => (unfinished.test(line) ? [`${file.path}:${index + 1} is unfinished`] : [])),
  );
}

/** The text without its string literals, roughly: enough to look for a comment. */
function withoutStrings(file: ParsedFile): string {
  return file.text.replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/[^/\n]*@ts-[^/\n]*\/[a-z]*/g, '');
}
