import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import type { ValidateFunction } from 'ajv';

const require = createRequire(import.meta.url);
const { Ajv } = require('ajv') as typeof import('ajv');
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

type Document = { channels: Record<string, { address: string | null; messages: Record<string, unknown> }> };

function readDocument(): Document {
  return JSON.parse(readFileSync(join(ROOT, 'proto', 'asyncapi.json'), 'utf8')) as Document;
}

/** The official JSON Schema of AsyncAPI 3.0; formats are not part of what it decides. */
function compile(): ValidateFunction {
  const schema = require('@asyncapi/specs/schemas/3.0.0-without-$id.json') as object;
  return new Ajv({ strict: false, validateFormats: false }).compile(schema);
}

function references(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(references);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === '$ref' && typeof item === 'string' ? [item] : references(item),
  );
}

function resolves(document: unknown, reference: string): boolean {
  let current: unknown = document;
  for (const part of reference.replace('#/', '').split('/')) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) return false;
    current = (current as Record<string, unknown>)[part];
  }
  return true;
}

test('proto/asyncapi.json is a valid AsyncAPI 3.0 document', () => {
  const validate = compile();
  const document = readDocument();
  validate(document);
  expect(validate.errors ?? []).toEqual([]);

  const channel = Object.values(document.channels)[0];
  if (channel === undefined) throw new Error('The document has no channel.');
  channel.messages = { broken: 'not an object' };
  expect(validate(document)).toBe(false);
});

test('every reference in proto/asyncapi.json leads somewhere', () => {
  const document = readDocument();
  const found = references(document);
  expect(found.length).toBeGreaterThan(100);
  expect(found.filter((reference) => !resolves(document, reference))).toEqual([]);
});

test('each placeholder of an address has a parameter', () => {
  for (const [key, channel] of Object.entries(readDocument().channels)) {
    const names = [...(channel.address ?? '').matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const { parameters = {} } = channel as { parameters?: Record<string, unknown> };
    expect({ key, names: Object.keys(parameters) }).toEqual({ key, names });
  }
});
