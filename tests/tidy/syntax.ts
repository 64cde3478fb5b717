import { parseSync } from '@swc/core';
import { read } from './repository.ts';

type Node = { type: string } & Record<string, unknown>;

/** What these tests want to know of a TypeScript file; comments and strings cannot fool it. */
export type Syntax = {
  /** Module specifiers of imports, re-exports and dynamic imports. */
  imports: string[];
  /** String literals, import specifiers and operands of comparisons left out. */
  strings: string[];
  /** `object.property` of every member access whose object is a plain name. */
  members: string[];
  /** Every call: the name it ends in and every plain name and `a.b` within its arguments. */
  calls: { name: string; arguments: string[] }[];
  /** Whether the file has a default export. */
  hasDefaultExport: boolean;
};

const parsed = new Map<string, Syntax>();

/** Parses a file of the repository once. */
export function syntaxOf(file: string): Syntax {
  const known = parsed.get(file);
  if (known) return known;
  const syntax: Syntax = { imports: [], strings: [], members: [], calls: [], hasDefaultExport: false };
  visit(parseSync(read(file), { syntax: 'typescript', target: 'es2022' }), syntax);
  parsed.set(file, syntax);
  return syntax;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

function visit(value: unknown, syntax: Syntax): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, syntax);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  if (isNode(value) && note(value, syntax)) return;
  for (const child of Object.values(value)) if (typeof child === 'object') visit(child, syntax);
}

/** Records a node; true when its children are of no interest. */
function note(node: Node, syntax: Syntax): boolean {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration': {
      const source = node.source;
      if (isNode(source)) syntax.imports.push(String(source.value));
      return true;
    }
    case 'ExportDefaultDeclaration':
    case 'ExportDefaultExpression':
      syntax.hasDefaultExport = true;
      return false;
    case 'StringLiteral':
      syntax.strings.push(String(node.value));
      return true;
    case 'TemplateElement':
      syntax.strings.push(String(node.raw));
      return true;
    case 'BinaryExpression':
      return noteComparison(node, syntax);
    case 'MemberExpression': {
      const name = dotted(node);
      if (name) syntax.members.push(name);
      return false;
    }
    case 'CallExpression':
      return noteCall(node, syntax);
    default:
      return false;
  }
}

function noteComparison(node: Node, syntax: Syntax): boolean {
  if (!/^[!=]==?$/.test(String(node.operator))) return false;
  for (const side of [node.left, node.right])
    if (!isNode(side) || side.type !== 'StringLiteral') visit(side, syntax);
  return true;
}

function noteCall(node: Node, syntax: Syntax): boolean {
  const callee = node.callee as Node;
  const given = (node.arguments as { expression: Node }[]).map((one) => one.expression);
  if (callee.type === 'Import' && given[0]?.type === 'StringLiteral')
    syntax.imports.push(String(given[0].value));
  const name = callee.type === 'MemberExpression' ? propertyName(callee) : nameOf(callee);
  if (name) syntax.calls.push({ name, arguments: given.flatMap(namesIn) });
  return false;
}

function namesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(namesIn);
  if (typeof value !== 'object' || value === null) return [];
  const own = isNode(value) ? nameOf(value) : undefined;
  return [...(own ? [own] : []), ...Object.values(value).flatMap(namesIn)];
}

function nameOf(node: Node): string | undefined {
  if (node.type === 'Identifier') return String(node.value);
  return node.type === 'MemberExpression' ? dotted(node) : undefined;
}

function dotted(node: Node): string | undefined {
  const object = node.object as Node;
  const property = propertyName(node);
  return object.type === 'Identifier' && property ? `${String(object.value)}.${property}` : undefined;
}

function propertyName(node: Node): string | undefined {
  const property = node.property as Node;
  return property.type === 'Identifier' ? String(property.value) : undefined;
}
