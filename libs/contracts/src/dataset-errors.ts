import type { ErrorKind } from './error-kind.ts';

/** Codes of datasets and of the reading of foreign data. */
export const datasetErrors = {
  dataset_not_found: { status: 404, retryable: false, doc: 'No dataset has this id or name.' },
  dataset_version_not_found: { status: 404, retryable: false, doc: 'The dataset has no such version.' },
  dataset_not_ready: {
    status: 409,
    retryable: true,
    doc: 'The dataset version is still being made or failed.',
  },
  dataset_not_tabular: {
    status: 422,
    retryable: false,
    doc: 'The version has no rows or schema that could be given as CSV and JSON; ingest it, or take its files from /v1/datasets/{id}/versions/{id}/downloads.',
  },
  dataset_unusable: {
    status: 422,
    retryable: false,
    doc: 'The recipe cannot train on this dataset; the message gives the reason.',
  },
  dataset_rejected: {
    status: 422,
    retryable: false,
    doc: 'The policy of the dataset refuses what the quality report found; mend the rows it names, or let the policy drop them or warn.',
  },
  source_not_allowed: {
    status: 403,
    retryable: false,
    doc: 'The operator of the analysis worker does not allow this folder, bucket or name of credentials; ask for an entry in MILLRACE_SOURCES_FILE.',
  },
  url_not_allowed: {
    status: 400,
    retryable: false,
    doc: 'An address of a source, or one that it redirects to, is private or not HTTP; use a public one, or ask the operator to allow its network in MILLRACE_SOURCES_FILE.',
  },
  source_not_found: {
    status: 422,
    retryable: false,
    doc: 'The source has no such file, bucket, repository, revision or split; the message names it.',
  },
  source_empty: {
    status: 422,
    retryable: false,
    doc: 'The source has no file, or its files have no row; check the prefix.',
  },
  source_unavailable: {
    status: 503,
    retryable: true,
    doc: 'The source does not answer, answers with an error of its own, or refuses the credentials; the message says which.',
  },
  source_incomplete: {
    status: 422,
    retryable: true,
    doc: 'The source sent fewer or more bytes than it said; it is tried again.',
  },
  ingest_limit_exceeded: {
    status: 422,
    retryable: false,
    doc: 'The data are over a bound of the analysis worker (bytes, expanded bytes, files, rows, columns, nesting, memory); the message names it and its value.',
  },
  unknown_format: {
    status: 422,
    retryable: false,
    doc: 'The format of a file cannot be told by its name, or no reader of this name is installed; set format.type.',
  },
  malformed_data: {
    status: 422,
    retryable: false,
    doc: 'A file is not as its format demands; the message names the file and the row.',
  },
  schema_mismatch: {
    status: 422,
    retryable: false,
    doc: 'A file has other columns than the first, or a declared column is missing; the message names both.',
  },
  unsafe_data: {
    status: 422,
    retryable: false,
    doc: 'A file would run code or read other files: pickled objects, external links or storage of HDF5; write it without.',
  },
} as const satisfies Record<string, ErrorKind>;
