import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import { parseSync } from '@swc/core';
import type { Json } from '../../scripts/generate/chart.ts';

/** A type in a declaration file, as far as fields are looked for in it. */
type TypeNode = { type: string } & Record<string, unknown>;
type Module = { imports: ReadonlyMap<string, string>; types: ReadonlyMap<string, TypeNode> };
type Members = { fields: Map<string, { type: TypeNode; file: string }>; isOpen: boolean };

const PACKAGES = join(REPOSITORY_ROOT, 'node_modules');
const modules = new Map<string, Module>();

/** Reads a declaration file: what it imports from where, and its interfaces and aliases by name. */
function moduleOf(file: string): Module {
  const known = modules.get(file);
  if (known !== undefined) return known;
  const parsed = parseSync(readFileSync(file, 'utf8'), { syntax: 'typescript' }) as unknown as {
    body: TypeNode[];
  };
  const imports = new Map<string, string>();
  const types = new Map<string, TypeNode>();
  for (const item of parsed.body) {
    if (item.type === 'ImportDeclaration')
      for (const { local } of item.specifiers as { local: { value: string } }[])
        imports.set(local.value, (item.source as { value: string }).value);
    const declared = (item.type === 'ExportDeclaration' ? item.declaration : item) as TypeNode;
    if (declared.type === 'TsInterfaceDeclaration' || declared.type === 'TsTypeAliasDeclaration')
      types.set((declared.id as { value: string }).value, declared);
  }
  const found = { imports, types };
  modules.set(file, found);
  return found;
}

/** The declaration that a name of a file stands for, and the file it is in; undefined for what no package declares. */
function declarationOf(name: string, file: string): { node: TypeNode; file: string } | undefined {
  const { imports, types } = moduleOf(file);
  const own = types.get(name);
  if (own !== undefined) return { node: own, file };
  const source = imports.get(name);
  if (source === undefined) return undefined;
  const from = source.startsWith('.') ? join(dirname(file), source) : join(PACKAGES, source);
  const target = `${from.replace(/\.js$/, '')}.d.ts`;
  if (!existsSync(target)) return undefined;
  // a file declares one model; others import it under a longer name
  const node = moduleOf(target).types.get(`I${basename(target, '.d.ts')}`);
  return node === undefined ? undefined : { node, file: target };
}

function addMembers(nodes: readonly TypeNode[], file: string, members: Members): void {
  for (const node of nodes) {
    const type = (node.typeAnnotation as { typeAnnotation: TypeNode } | undefined)?.typeAnnotation;
    if (node.type === 'TsIndexSignature') members.isOpen = true;
    else if (node.type === 'TsPropertySignature' && type !== undefined)
      members.fields.set(String((node.key as { value: string }).value), { type, file });
  }
}

/** Fields of an interface, those it extends among them. */
function membersOf(node: TypeNode, file: string, members: Members): void {
  for (const { expression } of node.extends as { expression: { value: string } }[]) {
    const parent = declarationOf(expression.value, file);
    if (parent?.node.type === 'TsInterfaceDeclaration') membersOf(parent.node, parent.file, members);
  }
  addMembers((node.body as { body: TypeNode[] }).body, file, members);
}

function unknownIn(value: Json, type: TypeNode, file: string, path: string): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const reference = type.type === 'TsTypeReference' ? (type.typeName as { value: string }).value : undefined;
  if (Array.isArray(value)) {
    const [element] = (type.typeParams as { params: TypeNode[] } | undefined)?.params ?? [];
    return element === undefined
      ? []
      : value.flatMap((one, i) => unknownIn(one, element, file, `${path}/${i}`));
  }
  const members: Members = { fields: new Map(), isOpen: false };
  if (type.type === 'TsTypeLiteral') addMembers(type.members as TypeNode[], file, members);
  else {
    const found = reference === undefined ? undefined : declarationOf(reference, file);
    if (found?.node.type === 'TsTypeAliasDeclaration')
      return unknownIn(value, found.node.typeAnnotation as TypeNode, found.file, path);
    if (found?.node.type !== 'TsInterfaceDeclaration') return [];
    membersOf(found.node, found.file, members);
  }
  if (members.isOpen) return [];
  return Object.entries(value).flatMap(([name, child]) => {
    const field = members.fields.get(name);
    return field === undefined
      ? [`${path}/${name} is not known`]
      : unknownIn(child, field.type, field.file, `${path}/${name}`);
  });
}

/**
 * Fields of an object that the model of a declaration file does not have: the validators of the same packages pass over
 * them, as an API server does that prunes. `model` is the path of the file below node_modules, without its ending.
 */
export function undeclaredFields(object: Json, model: string): string[] {
  const file = join(PACKAGES, `${model}.d.ts`);
  const node = moduleOf(file).types.get(`I${basename(model)}`);
  if (node === undefined) throw new Error(`${model} declares no such model`);
  const reference: TypeNode = { type: 'TsTypeReference', typeName: { value: `I${basename(model)}` } };
  return unknownIn(object, reference, file, '');
}
