import { expect, test } from '@jest/globals';
import { halfScalar, wholeScalar } from '../src/tensor-scalars.ts';

test('each of the 65,536 halves is the number that the engine reads from its bits', () => {
  // not among the types of the library yet
  const { Float16Array } = globalThis as unknown as {
    Float16Array: new (buffer: ArrayBuffer) => Float64Array;
  };
  const bits = Uint16Array.from({ length: 65_536 }, (_, i) => i);
  const numbers = new Float16Array(bits.buffer);
  const wrong = bits.filter((one, i) => {
    const value = numbers[i] as number;
    return !Object.is(halfScalar(one), Number.isFinite(value) ? value : null);
  });
  expect([...wrong]).toEqual([]);
});

test('whole numbers are text where a double would round them', () => {
  expect([2n ** 53n, -(2n ** 53n), 5n].map(wholeScalar)).toEqual([2 ** 53, -(2 ** 53), 5]);
  expect([2n ** 53n + 1n, -(2n ** 63n)].map(wholeScalar)).toEqual([
    '9007199254740993',
    '-9223372036854775808',
  ]);
});
