import { Name, Uuid } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';

/** Rows of a chunk unless the request says otherwise, and at most. */
const CHUNK_ROWS_DEFAULT = 1_000;
const CHUNK_ROWS_MAX = 100_000;
const KEY_LENGTH_MAX = 1_024;
/** Inputs of a model that a request may map, columns of one input, and characters of a column's name. */
const INPUTS_MAX = 256;
const COLUMNS_MAX = 4_096;
const COLUMN_LENGTH_MAX = 255;

/** What a batch job reads. */
export const InputFormat = Type.Union([
  Type.Literal('csv'),
  Type.Literal('jsonl'),
  Type.Literal('npy'),
  Type.Literal('parquet'),
]);
export type InputFormat = Static<typeof InputFormat>;

/** What a batch job writes. */
export const OutputFormat = Type.Union([Type.Literal('csv'), Type.Literal('jsonl'), Type.Literal('npy')]);
export type OutputFormat = Static<typeof OutputFormat>;

const column = Type.String({ minLength: 1, maxLength: COLUMN_LENGTH_MAX });
const strict = { additionalProperties: false };

/** Which columns (CSV, Parquet) or fields (JSON lines) make each input of the model. */
export const ColumnMapping = Type.Record(
  Type.String({ minLength: 1, maxLength: COLUMN_LENGTH_MAX }),
  Type.Array(column, { minItems: 1, maxItems: COLUMNS_MAX }),
  {
    maxProperties: INPUTS_MAX,
    description:
      'Columns of each input, by its name. Without it: the column called like the input, or for a model with one input all columns in order.',
  },
);
export type ColumnMapping = Static<typeof ColumnMapping>;

/** How a CSV file is written: RFC 4180 with this delimiter. */
export const CsvOptions = Type.Object(
  {
    header: Type.Boolean({
      default: true,
      description: 'Whether the first record names the columns; else they are called 1, 2, …',
    }),
    delimiter: Type.Union([',', ';', '\t', '|'].map((value) => Type.Literal(value)) as [Type.TLiteral], {
      default: ',',
    }),
  },
  strict,
);
export type CsvOptions = { header: boolean; delimiter: string };

/** Body of `POST /v1/batch-jobs`. */
export const BatchJobBody = Type.Object(
  {
    model: Name,
    version: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Label or ordinal; default: the production version, else the newest, as it is now.',
      }),
    ),
    input: Type.Union([
      Type.Object({ datasetVersionId: Uuid }, strict),
      Type.Object(
        {
          key: Type.String({
            minLength: 1,
            maxLength: KEY_LENGTH_MAX,
            description: 'An object of the bucket under `batch-inputs/<tenant>/`.',
          }),
        },
        strict,
      ),
      Type.Object(
        {
          prefix: Type.String({
            minLength: 1,
            maxLength: KEY_LENGTH_MAX,
            description:
              'Objects of the bucket under `batch-inputs/<tenant>/…/`, read in the order of their keys.',
          }),
        },
        strict,
      ),
    ]),
    format: Type.Optional(InputFormat),
    csv: Type.Optional(CsvOptions),
    columns: Type.Optional(ColumnMapping),
    output: Type.Optional(
      Type.Object(
        {
          format: Type.Union([Type.Literal('csv'), Type.Literal('jsonl'), Type.Literal('npy')], {
            default: 'jsonl',
          }),
          names: Type.Optional(
            Type.Array(column, {
              minItems: 1,
              maxItems: INPUTS_MAX,
              uniqueItems: true,
              description: 'Outputs wanted; all when absent. npy takes exactly one.',
            }),
          ),
        },
        strict,
      ),
    ),
    chunkRows: Type.Integer({
      minimum: 1,
      maximum: CHUNK_ROWS_MAX,
      default: CHUNK_ROWS_DEFAULT,
      description: 'Rows that are predicted and stored as one part; 16 MiB of input close a part earlier.',
    }),
    onRowError: Type.Union([Type.Literal('fail'), Type.Literal('skip')], {
      default: 'fail',
      description:
        '`fail` ends the job at the first bad row; `skip` leaves it out and lists it among the errors.',
    }),
  },
  strict,
);
export type BatchJobBody = Static<typeof BatchJobBody>;
