import type { ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';
import addFormatsModule from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';
import type { CompileNow } from './route-schemas.ts';
import { compilingOf } from './route-schemas.ts';

// ajv-formats is CommonJS: its function is the module itself or its `default`, depending on who loads it.
const addFormats =
  (addFormatsModule as unknown as { default?: typeof addFormatsModule.default }).default ?? addFormatsModule;

/** What Fastify calls with a part of a request; the faults of the last call lie beside it. */
type Check = { (data: unknown): boolean; errors?: ValidateFunction['errors'] };

/**
 * The Ajv compiler of every route: bodies are taken as they are (nothing removed, no types coerced), while query,
 * path and headers, which are text by nature, are coerced and get their defaults. What compiles each is added to `all`.
 */
export function createValidatorCompiler(all: CompileNow[]): FastifySchemaCompiler<object> {
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
  return ({ schema, httpPart, ...where }) => {
    const { check, compile } = lazily(httpPart === 'body' ? strict : lenient, schema);
    all.push(compilingOf(where, `the ${httpPart}`, compile));
    return check as never;
  };
}

/** Compiles a schema when the first request needs it: a service has dozens of routes, most of which nobody asks for hours. */
function lazily(ajv: Ajv, schema: object): { check: Check; compile: () => ValidateFunction } {
  let compiled: ValidateFunction | undefined;
  const compile = (): ValidateFunction => {
    compiled ??= ajv.compile(schema);
    return compiled;
  };
  const check: Check = (data) => {
    const validate = compile();
    const isValid = validate(data);
    check.errors = validate.errors ?? null;
    return isValid;
  };
  return { check, compile };
}
