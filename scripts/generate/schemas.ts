import * as contracts from '@millrace/contracts';
import { eventCatalog } from '@millrace/contracts';

/** A JSON value as it is written to a file. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A JSON Schema (draft 2020-12) as plain JSON. */
export type Schema = { [key: string]: Json };

const REF = '#/$defs/';

/** `dataset.version-ready` -> `DatasetVersionReady`. */
export function pascalCase(name: string): string {
  return name
    .split(/[.\-_]/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

/** `ClaimRequest` -> `claim-request`. */
export function kebabCase(name: string): string {
  return name.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, '-').toLowerCase();
}

/** Every object schema that the contracts export, by name, and the data of every event; nothing folded yet. */
export function namedSchemas(): Map<string, Schema> {
  const named = new Map<string, Schema>();
  for (const [name, value] of Object.entries(contracts)) {
    if (!isObject(value) || !('type' in value) || value.type !== 'object') continue;
    const schema = plain(value);
    if ('properties' in schema) named.set(name, schema);
  }
  for (const event of eventCatalog) {
    named.set(pascalCase(event.name), { description: event.doc, ...plain(event.data) });
  }
  return new Map([...named].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Schemas with each nested named schema replaced by a reference into `$defs`. */
export function foldedSchemas(): Map<string, Schema> {
  const named = namedSchemas();
  const names = new Map([...named].map(([name, schema]) => [JSON.stringify(schema), name]));
  return new Map([...named].map(([name, schema]) => [name, foldProperties(schema, names)]));
}

/** One schema as a document of its own: `$defs` holds what it refers to, directly or not. */
export function standalone(name: string, folded: ReadonlyMap<string, Schema>): Schema {
  const used = new Set<string>();
  const collect = (value: Json): void => {
    for (const reference of references(value)) {
      if (used.has(reference)) continue;
      used.add(reference);
      collect(folded.get(reference) ?? {});
    }
  };
  const schema = folded.get(name) ?? {};
  collect(schema);
  const definitions = Object.fromEntries([...used].sort().map((key) => [key, folded.get(key) ?? {}]));
  return used.size === 0 ? schema : { ...schema, $defs: definitions };
}

/** The same schema with `$defs` references pointed at another place of a larger document. */
export function repointed(value: Json, prefix: string): Json {
  if (Array.isArray(value)) return value.map((item) => repointed(item, prefix));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === '$ref' && typeof item === 'string' ? item.replace(REF, prefix) : repointed(item, prefix),
    ]),
  );
}

function references(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(references);
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === '$ref' && typeof item === 'string' ? [item.slice(REF.length)] : references(item),
  );
}

function foldProperties(schema: Schema, names: ReadonlyMap<string, string>): Schema {
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, fold(value, names)]));
}

function fold(value: Json, names: ReadonlyMap<string, string>): Json {
  if (Array.isArray(value)) return value.map((item) => fold(item, names));
  if (!isObject(value)) return value;
  const name = names.get(JSON.stringify(value));
  return name === undefined ? foldProperties(value, names) : { $ref: REF + name };
}

/** TypeBox's form as plain JSON: literal unions become enums, string-keyed records become maps. */
function plain(schema: object): Schema {
  return simplify(JSON.parse(JSON.stringify(schema)) as Schema) as Schema;
}

function simplify(value: Json): Json {
  if (Array.isArray(value)) return value.map(simplify);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, simplify(item)] as const);
  const schema: Schema = Object.fromEntries(entries);
  const anyOf = schema.anyOf;
  if (Array.isArray(anyOf) && anyOf.every((item) => isObject(item) && typeof item.const === 'string')) {
    return { type: 'string', enum: anyOf.map((item) => (item as Schema).const ?? null) };
  }
  const patterns = schema.patternProperties;
  if (isObject(patterns) && Object.keys(patterns).length === 1 && !('properties' in schema)) {
    const { patternProperties: _, ...rest } = schema;
    return { ...rest, additionalProperties: Object.values(patterns)[0] ?? {} };
  }
  return schema;
}

function isObject(value: unknown): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
