/** A part of a JSON schema as OpenAPI documents have it. */
export type Schema = {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly minProperties?: number;
};

/** Texts that fit the patterns of our schemas; the first that fits is taken. */
const TEXTS = [
  'a'.repeat(64),
  '01a20069-a60b-773e-b3cb-ac6791a4cc61',
  'sample',
  '1',
  '*',
  'https://example.com/',
];

function text({ pattern, format, minLength = 0 }: Schema, secret: string): string {
  if (format === 'date-time') return '2026-11-21T10:00:00.000Z';
  if (pattern === undefined) return format === 'uri' ? 'https://example.com/' : secret.padEnd(minLength, '-');
  const fit = TEXTS.find((candidate) => new RegExp(pattern, 'u').test(candidate));
  if (fit === undefined) throw new Error(`No sample fits ${pattern}; add one to TEXTS.`);
  return fit;
}

/** A value that a schema takes, with what it requires and nothing else; free texts are `secret`. */
export function sampleOf(schema: Schema, secret: string): unknown {
  const [first] = schema.anyOf ?? schema.oneOf ?? [];
  if (first !== undefined) return sampleOf(first, secret);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.type === 'string') return text(schema, secret);
  if (schema.type === 'boolean') return true;
  if (schema.type === 'integer' || schema.type === 'number')
    return schema.minimum ?? (schema.exclusiveMinimum ?? 0) + 1;
  if (schema.type === 'array')
    return Array.from({ length: schema.minItems ?? 0 }, () => sampleOf(schema.items ?? {}, secret));
  const { properties = {}, required = [] } = schema;
  const names = new Set(required);
  // a change of nothing is no change
  for (const name of Object.keys(properties)) if (names.size < (schema.minProperties ?? 0)) names.add(name);
  return Object.fromEntries([...names].map((name) => [name, sampleOf(properties[name] ?? {}, secret)]));
}
