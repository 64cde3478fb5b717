import { AppError } from '@millrace/contracts';

export type JsonObject = { readonly [name: string]: unknown };

/** An `invalid_model` that says what contradicts itself. */
export function invalidModel(message: string): AppError {
  return new AppError('invalid_model', message);
}

/** A name of the file as it is shown in messages. */
export function quote(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 80));
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws AppError `invalid_model` unless the value is an object */
export function asObject(value: unknown, what: string): JsonObject {
  if (isObject(value)) return value;
  throw invalidModel(`${what} is not an object.`);
}

/** @throws AppError `invalid_model` unless the value is a list */
export function asList(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalidModel(`${what} is not a list.`);
}

/** @throws AppError `invalid_model` unless the value is a text that is not empty */
export function asText(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw invalidModel(`${what} is not a text.`);
}

/** Levels of objects and lists; counts without recursion, for the value may be of any depth. */
export function depthOf(value: unknown, stopAt: number): number {
  let level: unknown[] = [value];
  let depth = 0;
  while (level.length > 0 && depth <= stopAt) {
    const next: unknown[] = [];
    for (const one of level) {
      if (typeof one !== 'object' || one === null) continue;
      for (const inner of Object.values(one))
        if (typeof inner === 'object' && inner !== null) next.push(inner);
    }
    if (next.length === 0) break;
    depth += 1;
    level = next;
  }
  return depth + 1;
}
