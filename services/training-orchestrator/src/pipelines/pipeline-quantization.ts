import type { DatasetInput } from '@millrace/contracts';
import { Quantization } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';

/** Files of a dataset version that samples are taken from: first rows that the training does not learn from. */
const SAMPLE_FILES = ['validation.arrow', 'test.arrow', 'train.arrow'];

/** What a pipeline reduces its model to; the samples come from its own dataset version. */
export const PipelineQuantization = Type.Object(
  {
    mode: Quantization.properties.mode,
    agreementMin: Quantization.properties.agreementMin,
    target: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Column of the truth in the dataset, for the accuracy of both models.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type PipelineQuantization = Static<typeof PipelineQuantization>;

/** The quantisation of a conversion, with the samples of the dataset; without such files the training's serve. */
export function withSamples(
  { target, ...asked }: PipelineQuantization,
  dataset: Pick<DatasetInput, 'files'> | null,
): Quantization {
  const file = SAMPLE_FILES.flatMap((path) => dataset?.files.find((one) => one.path === path) ?? []).at(0);
  if (file === undefined) return asked;
  return { ...asked, calibration: { files: [file], ...(target === undefined ? {} : { target }) } };
}
