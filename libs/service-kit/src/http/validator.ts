import { Ajv } from 'ajv';
import addFormatsModule from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';

// ajv-formats is CommonJS: its function is the module itself or its `default`, depending on who loads it.
const addFormats =
  (addFormatsModule as unknown as { default?: typeof addFormatsModule.default }).default ?? addFormatsModule;

/**
 * The Ajv compiler of every route: bodies are taken as they are (nothing removed, no types coerced), while query,
 * path and headers, which are text by nature, are coerced and get their defaults.
 */
export function createValidatorCompiler(): FastifySchemaCompiler<object> {
  const strict = new Ajv({
    removeAdditional: false,
    useDefaults: true,
    coerceTypes: false,
    allErrors: false,
    strict: false,
  });
  const lenient = new Ajv({
    removeAdditional: false,
    useDefaults: true,
    coerceTypes: 'array',
    allErrors: false,
    strict: false,
  });
  for (const ajv of [strict, lenient]) (addFormats as (instance: Ajv) => void)(ajv);
  return ({ schema, httpPart }) => (httpPart === 'body' ? strict : lenient).compile(schema) as never;
}
