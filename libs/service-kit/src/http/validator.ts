import type { ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';
import addFormatsModule from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';

// ajv-formats is CommonJS: its function is the module itself or its `default`, depending on who loads it.
const addFormats =
  (addFormatsModule as unknown as { default?: typeof addFormatsModule.default }).default ?? addFormatsModule;

/** What Fastify calls with a part of a request; the faults of the last call lie beside it. */
type Check = { (data: unknown): boolean; errors?: ValidateFunction['errors'] };

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
  return ({ schema, httpPart }) => lazily(httpPart === 'body' ? strict : lenient, schema) as never;
}

/** Compiles a schema when the first request needs it: a service has dozens of routes, most of which nobody asks for hours. */
function lazily(ajv: Ajv, schema: object): Check {
  let compiled: ValidateFunction | undefined;
  const check: Check = (data) => {
    compiled ??= ajv.compile(schema);
    const isValid = compiled(data);
    check.errors = compiled.errors ?? null;
    return isValid;
  };
  return check;
}
