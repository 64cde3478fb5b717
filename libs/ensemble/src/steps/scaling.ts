import Type from 'typebox';
import { NUMBERS_MAX } from '../bounds.ts';
import { invalid } from '../fault.ts';
import { axisOf, defineOperation, FLOATS, fixedSize, onlyInput } from '../operation.ts';
import type { Value } from '../value.ts';
import { lanesOf, newData } from '../value.ts';

const Numbers = Type.Array(Type.Number(), { minItems: 1, maxItems: NUMBERS_MAX });
type Float = 'float32' | 'float64';
type Floats = Float32Array | Float64Array;

/** Parameters in the type of the tensor, one for each channel; a single one holds for all. */
function perChannel(name: string, numbers: readonly number[], channels: number, dtype: Float): Floats {
  if (numbers.length !== channels && numbers.length !== 1)
    throw invalid(`${name} has ${numbers.length} numbers for ${channels} channels; give one each, or one.`);
  const own = newData(dtype, [channels]);
  for (let i = 0; i < channels; i += 1)
    own[i] = numbers.length === 1 ? (numbers[0] as number) : (numbers[i] as number);
  if (own.some((number) => !Number.isFinite(number)))
    throw invalid(`${name} holds a number that no ${dtype} has.`);
  return own;
}

function assertNoZero(name: string, numbers: Floats): Floats {
  if (numbers.includes(0)) throw invalid(`${name} holds a zero, by which nothing can be divided.`);
  return numbers;
}

/** Rounds as each single operation of the type would; a double holds the exact result of two singles before that. */
const roundTo = (dtype: Float): ((x: number) => number) => (dtype === 'float32' ? Math.fround : (x) => x);

/** Applies `map` to each element with the channel that it belongs to. */
function mapChannels(
  x: Value,
  axis: number,
  dtype: Float,
  map: (element: number, channel: number) => number,
): Value {
  const from = x.data as Floats;
  const data = newData(dtype, x.shape);
  const { outer, size, inner } = lanesOf(x.shape, axis);
  let at = 0;
  for (let block = 0; block < outer; block += 1) {
    for (let channel = 0; channel < size; channel += 1) {
      for (let i = 0; i < inner; i += 1, at += 1) data[at] = map(from[at] as number, channel);
    }
  }
  return { dtype, shape: x.shape, data };
}

/** (x - mean) / scale for each channel of the last axis; each operation is rounded to the type, as NumPy does it. */
export const standardScaler = defineOperation({
  parameters: Type.Object({ mean: Numbers, scale: Numbers }, { additionalProperties: false }),
  inputs: ['x'],
  outputs: ['y'],
  prepare(parameters, inputs) {
    const spec = onlyInput(inputs, FLOATS);
    const dtype = spec.dtype as Float;
    const axis = axisOf(-1, spec.shape);
    const channels = fixedSize(spec.shape, axis);
    const mean = perChannel('mean', parameters.mean, channels, dtype);
    const scale = assertNoZero('scale', perChannel('scale', parameters.scale, channels, dtype));
    const round = roundTo(dtype);
    return {
      outputs: [spec],
      run: ([x]) => [
        mapChannels(x as Value, axis, dtype, (v, c) => round(v - (mean[c] as number)) / (scale[c] as number)),
      ],
    };
  },
});

/**
 * (x - min) / (max - min) for each channel of the last axis, then * (high - low) + low unless that is 0 to 1; `clip`
 * holds the result between low and high. Each operation is rounded to the type.
 */
export const minMax = defineOperation({
  parameters: Type.Object(
    {
      min: Numbers,
      max: Numbers,
      low: Type.Optional(Type.Number()),
      high: Type.Optional(Type.Number()),
      clip: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare(parameters, inputs) {
    const spec = onlyInput(inputs, FLOATS);
    const dtype = spec.dtype as Float;
    const round = roundTo(dtype);
    const axis = axisOf(-1, spec.shape);
    const channels = fixedSize(spec.shape, axis);
    const min = perChannel('min', parameters.min, channels, dtype);
    const width = perChannel('max', parameters.max, channels, dtype);
    for (let i = 0; i < channels; i += 1) width[i] = (width[i] as number) - (min[i] as number);
    assertNoZero('max - min', width);
    const low = round(parameters.low ?? 0);
    const high = round(parameters.high ?? 1);
    if (low >= high) throw invalid('low is not below high.');
    const span = round(high - low);
    const stretch = low === 0 && high === 1 ? (y: number) => y : (y: number) => round(round(y * span) + low);
    const hold =
      parameters.clip === true ? (y: number) => (y < low ? low : y > high ? high : y) : (y: number) => y;
    return {
      outputs: [spec],
      run: ([x]) => [
        mapChannels(x as Value, axis, dtype, (v, c) =>
          hold(stretch(round(round(v - (min[c] as number)) / (width[c] as number)))),
        ),
      ],
    };
  },
});

/**
 * (x * scale - mean) / std for each colour channel of images, as float32; each operation is rounded. `scale` is 1/255
 * unless given, mean 0 and std 1.
 */
export const normaliseImage = defineOperation({
  parameters: Type.Object(
    {
      scale: Type.Optional(Type.Number()),
      mean: Type.Optional(Numbers),
      std: Type.Optional(Numbers),
      layout: Type.Optional(Type.Union([Type.Literal('NHWC'), Type.Literal('NCHW')])),
    },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare(parameters, inputs) {
    const spec = onlyInput(inputs, ['uint8', 'float32']);
    if (spec.shape.length !== 4) throw invalid(`it takes images of 4 axes, not of ${spec.shape.length}.`);
    const axis = parameters.layout === 'NCHW' ? 1 : 3;
    const channels = fixedSize(spec.shape, axis);
    const factor = Math.fround(parameters.scale ?? 1 / 255);
    const mean = perChannel('mean', parameters.mean ?? [0], channels, 'float32');
    const std = assertNoZero('std', perChannel('std', parameters.std ?? [1], channels, 'float32'));
    const { fround } = Math;
    return {
      outputs: [{ dtype: 'float32', shape: spec.shape }],
      run: ([x]) => [
        mapChannels(x as Value, axis, 'float32', (v, c) => {
          return fround(fround(v * factor) - (mean[c] as number)) / (std[c] as number);
        }),
      ],
    };
  },
});
