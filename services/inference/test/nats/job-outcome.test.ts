import { expect, test } from '@jest/globals';
import type { ErrorCode } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { JobOutcome, JobStep } from '../../src/nats/job-outcome.ts';
import { outcomeOf } from '../../src/nats/job-outcome.ts';

const DELIVERIES_MAX = 5;

function outcome(code: ErrorCode, step: JobStep, delivery: number, isLate = false): JobOutcome {
  return outcomeOf({ error: new AppError(code, 'A test.'), step, delivery, isLate }, DELIVERIES_MAX);
}

test.each<[string, ErrorCode, JobStep, JobOutcome, JobOutcome]>([
  ['bad input', 'invalid_json', 'read', 'answer-error', 'answer-error'],
  ['bad input for the model', 'invalid_shape', 'run', 'answer-error', 'answer-error'],
  ['a failing run', 'inference_failed', 'run', 'answer-error', 'answer-error'],
  ['a model that is not there', 'model_not_found', 'find', 'answer-error', 'answer-error'],
  ['a registry that is away', 'dependency_unavailable', 'find', 'retry', 'dead'],
  ['a model that the runtime refuses', 'model_load_failed', 'find', 'retry', 'dead'],
  ['a full queue', 'queue_full', 'run', 'retry', 'dead'],
  ['a fault of ours', 'internal', 'run', 'retry', 'dead'],
])('%s', (_what, code, step, first, last) => {
  expect(outcome(code, step, 1)).toBe(first);
  expect(outcome(code, step, DELIVERIES_MAX)).toBe(last);
});

test('what ends model hosts is tried once more and no oftener', () => {
  expect(outcome('model_crashed', 'run', 1)).toBe('retry');
  expect(outcome('model_crashed', 'run', 2)).toBe('dead');
});

test('what is late is given up, whatever its fault', () => {
  expect(outcome('deadline_exceeded', 'run', 1, true)).toBe('dead');
  expect(outcome('deadline_exceeded', 'run', 1)).toBe('retry');
});
