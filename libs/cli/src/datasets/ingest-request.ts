import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { IngestOptions, IngestSource } from '@millrace/contracts';
import type { IngestRequest } from '@millrace/sdk';
import type { Context } from '../command.ts';
import { argument, integerOption, textOption, UsageError } from '../command.ts';

const FORMATS = ['csv', 'json', 'jsonl', 'hdf5', 'npy', 'npz', 'parquet', 'custom'] as const;

/** Reads the source that the second argument names and what is made of it; throws UsageError. */
export async function ingestRequest(context: Context): Promise<IngestRequest> {
  const options = await optionsOf(context);
  const preset = textOption(context, 'preset');
  if (preset !== undefined) return { preset, ...(isEmpty(options) ? {} : { options }) };
  const from = argument(context, 2, 'SOURCE');
  return { source: sourceOf(from, context), options };
}

/** What a source is, by its form: an address, a bucket, `hf:REPOSITORY`, `version:ID`, or a folder of the worker. */
export function sourceOf(from: string, context: Pick<Context, 'options'>): IngestSource {
  const credentials = text(context, 'credentials');
  const keys = credentials === undefined ? {} : { credentials };
  if (/^(s3|gs|az):\/\//.test(from)) return { type: 'bucket', uri: from, ...keys };
  if (/^https?:\/\//.test(from)) {
    const parameter = text(context, 'pages');
    return { type: 'http', url: from, ...(parameter === undefined ? {} : { paging: { parameter } }) };
  }
  if (from.startsWith('hf:')) {
    const split = text(context, 'split');
    const [repository = '', revision] = from.slice('hf:'.length).split('@');
    return {
      type: 'hugging_face',
      repository,
      ...(revision === undefined ? {} : { revision }),
      ...(split === undefined ? {} : { split }),
      ...keys,
    };
  }
  if (from.startsWith('version:')) return { type: 'upload', versionId: from.slice('version:'.length) };
  if (from.startsWith('/')) return { type: 'folder', path: from };
  throw new UsageError(
    `'${from}' is no source: write s3://…, gs://…, az://…, https://…, hf:REPOSITORY, version:ID or a path of the worker.`,
  );
}

async function optionsOf(context: Context): Promise<IngestOptions> {
  const file = textOption(context, 'options');
  const base = file === undefined ? {} : await read(resolve(context.cwd, file));
  const target = textOption(context, 'target');
  const name = textOption(context, 'format');
  const format = FORMATS.find((known) => known === name);
  if (name !== undefined && format === undefined)
    throw new UsageError(`--format is ${FORMATS.join(', ')}, not '${name}'.`);
  const seed = integerOption(context, 'seed');
  return {
    ...base,
    ...(target === undefined ? {} : { target }),
    ...(format === undefined ? {} : { format: { ...base.format, type: format } }),
    ...(seed === undefined ? {} : { split: { validation: 0.15, test: 0.15, ...base.split, seed } }),
  };
}

async function read(path: string): Promise<IngestOptions> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as IngestOptions;
  } catch (error) {
    throw new UsageError(`--options: ${path} cannot be read as JSON: ${(error as Error).message}`);
  }
}

function text(context: Pick<Context, 'options'>, name: string): string | undefined {
  const value = context.options[name];
  return typeof value === 'string' ? value : undefined;
}

function isEmpty(options: IngestOptions): boolean {
  return Object.keys(options).length === 0;
}
