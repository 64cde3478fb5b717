import { AppError } from '@millrace/contracts';
import type { Ajv2020 } from 'ajv/dist/2020.js';

type Params = Record<string, unknown>;

/** Parameters with the defaults of their schema filled in. @throws AppError `invalid_params`, naming the first fault */
export type ParamsCheck = (given: Params) => Params;

/** Compiles the check of one schema; `what` names such a parameter in messages. */
export function compileParamsCheck(ajv: Ajv2020, schema: Params, what: string): ParamsCheck {
  const validate = ajv.compile(schema);
  return (given) => {
    const params = structuredClone(given);
    if (validate(params)) return params;
    const [error] = validate.errors ?? [];
    const name = error?.params.additionalProperty ?? error?.instancePath.slice(1) ?? '';
    throw new AppError('invalid_params', `${what} '${String(name)}' ${error?.message ?? 'is wrong'}.`);
  };
}
