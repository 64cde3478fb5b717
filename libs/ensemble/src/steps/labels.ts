import { AppError } from '@millrace/contracts';
import Type from 'typebox';
import { LABEL_LENGTH_MAX, LABELS_MAX, ROW_ELEMENTS_MAX, STEP_BYTES_MAX } from '../bounds.ts';
import { invalid } from '../fault.ts';
import { defineOperation, INTEGERS, onlyInput } from '../operation.ts';
import type { NumericData, Value } from '../value.ts';
import { countOf, newData } from '../value.ts';

const Label = Type.String({ maxLength: LABEL_LENGTH_MAX });

/** The text of each whole number; one that is not in `labels` is `fallback`, or fails the request without one. */
export const labelMap = defineOperation({
  parameters: Type.Object(
    {
      labels: Type.Record(Type.String({ pattern: '^(0|-?[1-9][0-9]{0,18})$' }), Label, {
        minProperties: 1,
        maxProperties: LABELS_MAX,
      }),
      fallback: Type.Optional(Label),
    },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ labels, fallback }, inputs) {
    const spec = onlyInput(inputs, INTEGERS);
    const isLong = spec.dtype === 'int64' || spec.dtype === 'uint64';
    const known = new Map(
      Object.entries(labels).map(([number, label]) => [isLong ? BigInt(number) : Number(number), label]),
    );
    return {
      outputs: [{ dtype: 'string', shape: spec.shape }],
      run([x]) {
        const data: string[] = [];
        for (const number of (x as Value).data as NumericData) {
          const label = known.get(number) ?? fallback;
          if (label === undefined)
            throw new AppError('inference_failed', `${number} has no label, and there is no fallback.`);
          data.push(label);
        }
        return [{ dtype: 'string', shape: (x as Value).shape, data }];
      },
    };
  },
});

/** A new last axis of `depth` elements: `on` at the index that the input holds, `off` elsewhere and for one outside. */
export const oneHot = defineOperation({
  parameters: Type.Object(
    {
      depth: Type.Integer({ minimum: 1, maximum: ROW_ELEMENTS_MAX }),
      on: Type.Optional(Type.Number()),
      off: Type.Optional(Type.Number()),
    },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ depth, on = 1, off = 0 }, inputs) {
    const spec = onlyInput(inputs, INTEGERS);
    if (![on, off].every((number) => Number.isFinite(Math.fround(number))))
      throw invalid('on or off is a number that no float32 has.');
    return {
      outputs: [{ dtype: 'float32', shape: [...spec.shape, depth] }],
      run([x]) {
        const shape = [...(x as Value).shape, depth];
        const sizeBytes = countOf(shape) * Float32Array.BYTES_PER_ELEMENT;
        if (sizeBytes > STEP_BYTES_MAX)
          throw new AppError(
            'output_too_large',
            `its output has ${sizeBytes} bytes, over the bound of ${STEP_BYTES_MAX}; send fewer rows.`,
          );
        const data = newData('float32', shape).fill(off);
        ((x as Value).data as NumericData).forEach((number, i) => {
          if (number >= 0 && number < depth) data[i * depth + Number(number)] = on;
        });
        return [{ dtype: 'float32', shape, data }];
      },
    };
  },
});
