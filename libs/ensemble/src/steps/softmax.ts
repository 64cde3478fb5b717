import Type from 'typebox';
import { axisOf, defineOperation, FLOATS, onlyInput } from '../operation.ts';
import type { Value } from '../value.ts';
import { lanesOf, newData } from '../value.ts';

/**
 * exp(x - max) / sum of exp(x - max) along an axis: no overflow for any finite x. Computed in double precision and
 * rounded once to the type of the input.
 */
export const softmax = defineOperation({
  parameters: Type.Object({ axis: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ axis = -1 }, inputs) {
    const spec = onlyInput(inputs, FLOATS);
    const at = axisOf(axis, spec.shape);
    return {
      outputs: [spec],
      mixesRows: at === 0,
      run([x]) {
        const from = (x as Value).data as Float32Array;
        const shape = (x as Value).shape;
        const data = newData(spec.dtype as 'float32', shape);
        const { outer, size, inner } = lanesOf(shape, at);
        const powers = new Float64Array(size);
        for (let block = 0; block < outer; block += 1) {
          for (let lane = 0; lane < inner; lane += 1) {
            const start = block * size * inner + lane;
            let most = -Infinity;
            for (let i = 0; i < size; i += 1) most = Math.max(most, from[start + i * inner] as number);
            let sum = 0;
            for (let i = 0; i < size; i += 1) {
              const power = Math.exp((from[start + i * inner] as number) - most);
              powers[i] = power;
              sum += power;
            }
            for (let i = 0; i < size; i += 1) data[start + i * inner] = (powers[i] as number) / sum;
          }
        }
        return [{ dtype: spec.dtype as 'float32', shape, data }];
      },
    };
  },
});
