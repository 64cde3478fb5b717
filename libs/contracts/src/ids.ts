import { v7 } from 'uuid';

/** A new UUIDv7: unique, and sorted by time of creation. */
export function newId(): string {
  return v7();
}

const NAME = /^[^/\\:\p{Cc}]{1,255}$/u;

/** Whether a text may be a model name or version label (see the `invalid_name` error). */
export function isValidName(value: string): boolean {
  return NAME.test(value) && value.trim().length > 0 && value !== '.' && value !== '..';
}
