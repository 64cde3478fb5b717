import { JsonObject, Name, Sha256, Uuid } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import { AXES_MAX, STEPS_MAX, TENSORS_MAX } from './bounds.ts';
import type { ElementType } from './value.ts';

const ElementTypes = Type.Unsafe<ElementType>({
  type: 'string',
  enum: [
    'float32',
    'float64',
    'float16',
    'int8',
    'int16',
    'int32',
    'int64',
    'uint8',
    'uint16',
    'uint32',
    'uint64',
    'bool',
    'string',
  ],
});

/** Name of a tensor; control characters are not allowed. */
const TensorName = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,255}$' });
/** A step is named in errors and in the Server-Timing header. */
const StepId = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });
const TensorMap = (description: string) =>
  Type.Record(TensorName, TensorName, { minProperties: 1, maxProperties: TENSORS_MAX, description });

const EnsembleInput = Type.Object(
  {
    name: TensorName,
    dtype: ElementTypes,
    shape: Type.Array(Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]), {
      maxItems: AXES_MAX,
      description: 'null is a free size; the first is the rows of a request.',
    }),
  },
  { additionalProperties: false },
);

const step = {
  id: StepId,
  kind: Type.String({
    minLength: 1,
    maxLength: 64,
    description: '`model`, or a built-in step such as `softmax`.',
  }),
  inputs: TensorMap("Tensor of the ensemble by the step's own name of its input."),
  outputs: TensorMap(
    "Tensor of the ensemble by the step's own name of its output; unneeded ones are left out.",
  ),
  parameters: Type.Optional(JsonObject),
};
const tensors = {
  inputs: Type.Array(EnsembleInput, { minItems: 1, maxItems: TENSORS_MAX }),
  outputs: Type.Array(TensorName, {
    minItems: 1,
    maxItems: TENSORS_MAX,
    description: 'Tensors that steps give.',
  }),
};
const stepBounds = { minItems: 1, maxItems: STEPS_MAX };

/** An ensemble as it is asked for: a member is named by model and version (label, ordinal or @alias). */
export const EnsembleSpec = Type.Object(
  {
    ...tensors,
    steps: Type.Array(
      Type.Object(
        {
          ...step,
          model: Type.Optional(Name),
          version: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
        },
        { additionalProperties: false },
      ),
      stepBounds,
    ),
  },
  { additionalProperties: false },
);
export type EnsembleSpec = Static<typeof EnsembleSpec>;

/** What a member is held to: exactly these bytes, whatever its model's aliases point at later. */
export const EnsembleMember = Type.Object(
  { model: Name, version: Type.String(), modelVersionId: Uuid, packageDigest: Sha256 },
  { additionalProperties: false },
);
export type EnsembleMember = Static<typeof EnsembleMember>;

/** An ensemble as it is signed. */
export const PinnedEnsemble = Type.Object(
  {
    ...tensors,
    steps: Type.Array(
      Type.Object({ ...step, member: Type.Optional(EnsembleMember) }, { additionalProperties: false }),
      stepBounds,
    ),
  },
  { additionalProperties: false },
);
export type PinnedEnsemble = Static<typeof PinnedEnsemble>;

/** Path of the signed description in the package of an ensemble; a version that serves this file is one. */
export const ENSEMBLE_PATH = 'ensemble.json';
/** The kind of a step that runs a model. */
export const MODEL_KIND = 'model';
