import { expect, test } from '@jest/globals';
import { isAppError } from '@millrace/contracts';
import fc from 'fast-check';
import { normaliseForServing, onnxWeightsDigest } from '../src/index.ts';
import { fixture } from './fixture.ts';

/** No damaged file may take longer (ms): far more than it takes on a busy machine, far less than an exponential search. */
const TIME_MAX_MS = 30_000;
const RUNS = 1500;
const seeds = [
  'functions_and_if',
  'logistic_regression',
  'weights_typed',
  'weights_raw',
  'if_nested_8',
  'zip_map_shared',
].map(fixture);

/** Takes a file in as the registry does; only an AppError of a client's fault may come out, and soon. */
function takeIn(bytes: Uint8Array): boolean {
  const started = performance.now();
  try {
    normaliseForServing(bytes);
    onnxWeightsDigest(bytes);
    return true;
  } catch (error) {
    if (!isAppError(error)) throw error;
    expect([413, 422]).toContain(error.status);
    return false;
  } finally {
    expect(performance.now() - started).toBeLessThan(TIME_MAX_MS);
  }
}

const damage = fc.record({
  seed: fc.nat(seeds.length - 1),
  flips: fc.array(fc.record({ at: fc.nat(1 << 20), xor: fc.integer({ min: 1, max: 255 }) }), {
    maxLength: 6,
  }),
  cut: fc.option(fc.nat(1 << 20), { freq: 1 }),
  repeat: fc.option(fc.record({ from: fc.nat(1 << 20), length: fc.nat(200), to: fc.nat(1 << 20) }), {
    freq: 1,
  }),
});

test('flipped, cut and repeated bytes meet an AppError or a model, never anything else', () => {
  let taken = 0;
  fc.assert(
    fc.property(damage, ({ seed, flips, cut, repeat }) => {
      let bytes = Buffer.from(seeds[seed] ?? []);
      for (const { at, xor } of flips) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ xor;
      if (cut !== null) bytes = bytes.subarray(0, cut % bytes.length);
      if (repeat !== null && bytes.length > 0) {
        const part = bytes.subarray(repeat.from % bytes.length).subarray(0, repeat.length);
        const to = repeat.to % bytes.length;
        bytes = Buffer.concat([bytes.subarray(0, to), part, bytes.subarray(to)]);
      }
      if (takeIn(bytes)) taken += 1;
    }),
    { numRuns: RUNS, seed: 11 },
  );
  // Some damage lands in weights and leaves a model; if all or none did, this test would show nothing.
  expect(taken).toBeGreaterThan(RUNS / 100);
  expect(taken).toBeLessThan(RUNS / 1.5);
});

test('random bytes are never a model', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(takeIn(bytes)).toBe(false);
    }),
    { numRuns: RUNS, seed: 12 },
  );
});
