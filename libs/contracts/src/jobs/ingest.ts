import type { Static } from 'typebox';
import Type from 'typebox';
import { ArtifactRef, Uuid } from '../primitives.ts';

/** Name of credentials that the operator gave the analysis worker; requests never hold keys. */
const Credentials = Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,63}$' }));
const Path = Type.String({ minLength: 1, maxLength: 1_024 });
const strict = { additionalProperties: false };

/** Files of an uploaded version of the same dataset. */
export const UploadSource = Type.Object({ type: Type.Literal('upload'), versionId: Uuid }, strict);
/** A folder or file of the worker's machine, inside those that its operator allows. */
export const FolderSource = Type.Object({ type: Type.Literal('folder'), path: Path }, strict);
/** Every object of an S3, Google Cloud Storage or Azure Blob prefix: `s3://`, `gs://` or `az://` bucket/prefix. */
export const BucketSource = Type.Object(
  {
    type: Type.Literal('bucket'),
    uri: Type.String({ pattern: '^(s3|gs|az)://[^/]+(/.*)?$', maxLength: 1_024 }),
    credentials: Credentials,
  },
  strict,
);
/** How an HTTP API gives its records in pages: the number in `parameter` grows until a page is empty. */
export const HttpPaging = Type.Object(
  {
    parameter: Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$' }),
    first: Type.Optional(Type.Integer({ minimum: 0 })),
    pagesMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
  },
  strict,
);
/** One file, or the pages of an API, over HTTP or HTTPS. */
export const HttpSource = Type.Object(
  {
    type: Type.Literal('http'),
    url: Type.String({ pattern: '^https?://', maxLength: 2_048 }),
    paging: Type.Optional(HttpPaging),
  },
  strict,
);
/** A data set of the Hugging Face hub, or of the hub that the operator names instead. */
export const HuggingFaceSource = Type.Object(
  {
    type: Type.Literal('hugging_face'),
    repository: Type.String({ pattern: '^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$', maxLength: 200 }),
    revision: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._/-]+$', maxLength: 200 })),
    split: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._-]+$', maxLength: 100 })),
    credentials: Credentials,
  },
  strict,
);

/** Where the data of an ingestion lie. */
export const IngestSource = Type.Union([
  UploadSource,
  FolderSource,
  BucketSource,
  HttpSource,
  HuggingFaceSource,
]);
export type IngestSource = Static<typeof IngestSource>;

/** How the files are read; without `type` each file tells by its name. */
export const DataFormat = Type.Object(
  {
    type: Type.Optional(
      Type.Union([
        Type.Literal('csv'),
        Type.Literal('json'),
        Type.Literal('jsonl'),
        Type.Literal('hdf5'),
        Type.Literal('npy'),
        Type.Literal('npz'),
        Type.Literal('parquet'),
        Type.Literal('custom'),
      ]),
    ),
    delimiter: Type.Optional(Type.String({ minLength: 1, maxLength: 1 })),
    /** Key of the list of records in a JSON document, dots between levels; the document itself without it. */
    records: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    /** Group of an HDF5 file whose data sets are the columns; the root without it. */
    group: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    /** Name of the entry point of group `millrace.readers` that reads a custom format. */
    reader: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._-]+$', maxLength: 100 })),
  },
  strict,
);
export type DataFormat = Static<typeof DataFormat>;

/** Types a column of a dataset has; `vector` is a fixed-size list of float32. */
export const ColumnType = Type.Union([
  Type.Literal('bool'),
  Type.Literal('int64'),
  Type.Literal('float64'),
  Type.Literal('string'),
  Type.Literal('timestamp'),
  Type.Literal('vector'),
]);
export type ColumnType = Static<typeof ColumnType>;

const ColumnName = Type.String({ minLength: 1, maxLength: 255 });

/** What a column must be; whatever is left out is inferred or free. */
export const ColumnRule = Type.Object(
  {
    name: ColumnName,
    type: Type.Optional(ColumnType),
    /** Elements of a vector. */
    size: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_048_576 })),
    isRequired: Type.Optional(Type.Boolean()),
    minimum: Type.Optional(Type.Number()),
    maximum: Type.Optional(Type.Number()),
    /** Least and greatest sum of the elements of a vector, such as the counts of a spectrum. */
    sumMinimum: Type.Optional(Type.Number()),
    sumMaximum: Type.Optional(Type.Number()),
  },
  strict,
);
/** Columns `<prefix>0`, `<prefix>1`, … of a table that are one vector. */
export const VectorRule = Type.Object({ name: ColumnName, prefix: ColumnName }, strict);

const Action = Type.Union([Type.Literal('reject'), Type.Literal('drop'), Type.Literal('warn')]);
const WarnOrReject = Type.Union([Type.Literal('reject'), Type.Literal('warn')]);

/** What is done about each kind of finding: refuse the version, leave the rows out, or only say so. */
export const QualityPolicy = Type.Object(
  {
    type: Type.Optional(Action),
    missing: Type.Optional(Action),
    range: Type.Optional(Action),
    dimension: Type.Optional(Action),
    duplicate: Type.Optional(Action),
    outlier: Type.Optional(Action),
    imbalance: Type.Optional(WarnOrReject),
    leak: Type.Optional(WarnOrReject),
  },
  strict,
);
export type QualityPolicy = Static<typeof QualityPolicy>;

const Share = Type.Number({ minimum: 0, maximum: 1 });

/** How rows are divided; stratified by the target where it has classes. */
export const SplitRule = Type.Object(
  { seed: Type.Integer({ minimum: 0 }), validation: Share, test: Share },
  strict,
);
export type SplitRule = Static<typeof SplitRule>;

/** What an ingestion makes of its source. */
export const IngestOptions = Type.Object(
  {
    format: Type.Optional(DataFormat),
    target: Type.Optional(ColumnName),
    columns: Type.Optional(Type.Array(ColumnRule, { maxItems: 4_096 })),
    vectors: Type.Optional(Type.Array(VectorRule, { maxItems: 64 })),
    quality: Type.Optional(QualityPolicy),
    split: Type.Optional(SplitRule),
  },
  strict,
);
export type IngestOptions = Static<typeof IngestOptions>;

/** Spec of an `ingest` job of the pool `analysis`: data that others made become a dataset version. */
export const SourceIngestSpec = Type.Object({
  datasetId: Uuid,
  versionId: Uuid,
  tenant: Type.String(),
  source: IngestSource,
  options: IngestOptions,
  /** What an uploaded version holds; empty for other sources. */
  files: Type.Array(ArtifactRef, { maxItems: 1_000 }),
});
export type SourceIngestSpec = Static<typeof SourceIngestSpec>;
