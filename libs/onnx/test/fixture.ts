import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AppError } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';

const FOLDER = join(import.meta.dirname, 'fixtures/generated');

/** The bytes of an ONNX file that fixtures/generate.py made. */
export function fixture(name: string): Buffer {
  return readFileSync(join(FOLDER, `${name}.onnx`));
}

/** What fixtures/generate.py noted beside the files. */
export function notes<T>(name: 'good' | 'bad'): Record<string, T> {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as Record<string, T>;
}

/** The AppError that a call throws; anything else it does is a failure of the test. */
export function thrown(call: () => unknown): AppError {
  try {
    call();
  } catch (error) {
    if (isAppError(error)) return error;
    throw error;
  }
  throw new Error('It did not throw.');
}
