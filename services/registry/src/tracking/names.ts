import { AppError } from '@millrace/contracts';

/** MLflow's bounds, in characters, of what a run, an experiment or a logged model holds. */
export const KEY_LENGTH_MAX = 250;
export const PARAM_LENGTH_MAX = 6_000;
export const TAG_LENGTH_MAX = 8_000;
export const EXPERIMENT_TAG_LENGTH_MAX = 20_000;
export const EXPERIMENT_NAME_LENGTH_MAX = 500;

const NAME = /^[/\p{L}\p{N}_.\- :]*$/u;
const SHOWN_MAX = 200;

/** The error for a value of a field, in MLflow's words. */
export function invalidValue(path: string, value: unknown, why: string): AppError {
  const shown = JSON.stringify(value)?.slice(0, SHOWN_MAX);
  return new AppError('invalid_request', `Invalid value ${shown} for parameter '${path}' supplied: ${why}`);
}

/**
 * A key of a metric, parameter or tag as MLflow allows it: at most 250 letters, digits and `_-. :/` that would be a
 * plain path. Throws `invalid_request`.
 */
export function checkedName(name: string, path: string, lengthMax = KEY_LENGTH_MAX): string {
  if (!NAME.test(name))
    throw invalidValue(
      path,
      name,
      'Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).',
    );
  const isPath =
    !name.startsWith('..') && name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  if (!isPath)
    throw invalidValue(
      path,
      name,
      'Names may be treated as files in certain cases, and must not resolve to other names when treated as such.',
    );
  return withinLength(name, path, lengthMax);
}

/** A text no longer than the bound; throws `invalid_request`. */
export function withinLength(value: string, path: string, lengthMax: number): string {
  if (value.length <= lengthMax) return value;
  throw new AppError('invalid_request', `'${path}' exceeds the maximum length of ${lengthMax} characters.`);
}

/** MLflow's server cuts values of parameters and tags of runs that are too long, and so do we. */
export const cutTo = (value: string, lengthMax: number): string =>
  value.length <= lengthMax ? value : value.slice(0, lengthMax);

/** The tag in which MLflow's page looks for a run's name. */
export const RUN_NAME_TAG = 'mlflow.runName';

/** A run id as Postgres has it; throws `run_not_found` for what cannot be one. */
export function runUuid(runId: string): string {
  const hex = runId.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex)) throw runNotFound(runId);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A run id as MLflow writes it: 32 hex digits. */
export const runIdOf = (uuid: string): string => uuid.replaceAll('-', '');

export function runNotFound(runId: string): AppError {
  return new AppError('run_not_found', `Run with id=${runId.slice(0, SHOWN_MAX)} not found.`);
}
