import type { Static } from 'typebox';
import Type from 'typebox';
import { ArtifactRef } from '../primitives.ts';

/** Most files that calibration samples are read from. */
const CALIBRATION_FILES_MAX = 100;

const tensorName = Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z_][A-Za-z0-9_.]*$' });

/** How a graph is built from weights; everything has a default. */
export const GraphOptions = Type.Object(
  {
    /** Names of the graph's input and output instead of those of the architecture. */
    inputName: Type.Optional(tensorName),
    outputName: Type.Optional(tensorName),
    /** Widths of the hidden layers of a plain network that comes without architecture.json. */
    hiddenLayers: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: 1_000_000 }), { maxItems: 256 }),
    ),
    /** Rows of a batch; any number unless given. */
    batchSize: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
    /** Whether MatMul and Add become Gemm; they do unless false. */
    fuse: Type.Optional(Type.Boolean()),
    /** Texts that the graph carries in its metadata. */
    metadata: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }), Type.String({ maxLength: 4096 }), {
        maxProperties: 64,
        additionalProperties: false,
      }),
    ),
  },
  { additionalProperties: false },
);
export type GraphOptions = Static<typeof GraphOptions>;

/** What a converted model is reduced to; its answers are compared with those of the float32 model. */
export const Quantization = Type.Object(
  {
    mode: Type.Union([Type.Literal('int8_dynamic'), Type.Literal('int8_static'), Type.Literal('float16')]),
    /** Rows for the ranges of `int8_static`, such as the files of a dataset version; without it the source's samples. */
    calibration: Type.Optional(
      Type.Object(
        {
          files: Type.Array(ArtifactRef, { minItems: 1, maxItems: CALIBRATION_FILES_MAX }),
          /** Column of Arrow files that holds the input; that of the input's name unless given. */
          column: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
          /** Column of the truth; with it the report has the accuracy of both models. */
          target: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
          /** Rows for the ranges, taken at even distances; as many others are for the comparison. */
          samples: Type.Optional(Type.Integer({ minimum: 1, maximum: 4096 })),
        },
        { additionalProperties: false },
      ),
    ),
    /** Least share of rows on which both models decide for the same class. */
    agreementMin: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  },
  { additionalProperties: false },
);
export type Quantization = Static<typeof Quantization>;
