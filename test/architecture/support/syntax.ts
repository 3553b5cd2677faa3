import path from 'node:path';
import { parseSync } from '@swc/core';
import type { SourceFile } from './source-files.ts';

/** A node of swc's syntax tree, as far as the rules look. */
export interface SyntaxNode {
  readonly type: string;
  readonly span?: { readonly start: number; readonly end: number };
  readonly [key: string]: unknown;
}

export interface ImportRef {
  readonly specifier: string;
  /** The imported file relative to the repository when the specifier is relative, else the specifier itself. */
  readonly target: string;
  readonly relative: boolean;
  /** `import type` or `export type`: nothing of it is left when the program runs. */
  readonly typeOnly: boolean;
  readonly names: readonly string[];
}

export interface ParsedFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly ImportRef[];
  /** Calls `visit` for every node, outermost first. */
  walk(visit: (node: SyntaxNode, parents: readonly SyntaxNode[]) => void): void;
  lineOf(node: SyntaxNode): number;
  lineCountOf(node: SyntaxNode): number;
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

function walkFrom(
  value: unknown,
  parents: SyntaxNode[],
  visit: (n: SyntaxNode, p: readonly SyntaxNode[]) => void,
): void {
  if (Array.isArray(value)) {
    for (const item of value) walkFrom(item, parents, visit);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const node = isNode(value) ? value : undefined;
  if (node !== undefined) {
    visit(node, parents);
    parents.push(node);
  }
  for (const inner of Object.values(value)) walkFrom(inner, parents, visit);
  if (node !== undefined) parents.pop();
}

// swc counts bytes, and goes on counting from one file to the next: a statement of known place gives the origin.
const prelude = '0;\n';

function lineTable(text: string): number[] {
  const bytes = Buffer.from(text);
  const starts = [0];
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) starts.push(at + 1);
  return starts;
}

function lineAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return low + 1;
}

function textOf(node: unknown): string {
  return isNode(node) && typeof node.value === 'string' ? node.value : '';
}

function importedNames(node: SyntaxNode): string[] {
  const specifiers = Array.isArray(node.specifiers) ? node.specifiers.filter(isNode) : [];
  if (node.type === 'ExportAllDeclaration') return ['*'];
  return specifiers.map((specifier) => {
    if (specifier.type === 'ImportNamespaceSpecifier' || specifier.type === 'ExportNamespaceSpecifier') return '*';
    if (specifier.type === 'ImportDefaultSpecifier') return 'default';
    return textOf(specifier.imported ?? undefined) || textOf(specifier.orig) || textOf(specifier.local);
  });
}

function importOf(from: string, node: SyntaxNode): ImportRef | undefined {
  const statement = ['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration'].includes(node.type);
  let specifier = statement ? textOf(node.source) : '';
  if (node.type === 'CallExpression' && isNode(node.callee) && node.callee.type === 'Import') {
    const [first] = node.arguments as { expression: unknown }[];
    specifier = textOf(first?.expression);
  }
  if (specifier === '') return undefined;
  const relative = specifier.startsWith('.');
  const target = relative ? path.posix.join(path.posix.dirname(from), specifier) : specifier;
  return {
    specifier,
    target,
    relative,
    typeOnly: node.typeOnly === true,
    names: statement ? importedNames(node) : ['*'],
  };
}

/** Parses with swc: TypeScript 7 has no stable API of its own for this. Throws on a syntax error. */
export function parseFile(file: SourceFile): ParsedFile {
  const text = prelude + file.text.replace(/^#!/, '//');
  const tree = parseSync(text, { syntax: 'typescript', target: 'es2024', tsx: false });
  const origin = tree.body[0]?.span.start ?? 0;
  const starts = lineTable(text);
  const body: unknown = tree.body.slice(1);
  const walk: ParsedFile['walk'] = (visit) => walkFrom(body, [], visit);
  const line = (offset: number): number => lineAt(starts, offset - origin) - 1;
  const imports: ImportRef[] = [];
  walk((node) => {
    const found = importOf(file.path, node);
    if (found !== undefined) imports.push(found);
  });
  return {
    path: file.path,
    text: file.text,
    imports,
    walk,
    lineOf: (node) => line(node.span?.start ?? 0),
    lineCountOf: (node) => line((node.span?.end ?? 1) - 1) - line(node.span?.start ?? 0) + 1,
  };
}
