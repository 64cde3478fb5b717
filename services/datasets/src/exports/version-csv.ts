import { Readable } from 'node:stream';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { VersionRow } from '../datasets/dataset.table.ts';
import { csvOfArrow } from './arrow-csv.ts';

/** Downloads that make CSV of Arrow at once: each holds a record batch of at most 65,536 rows. */
const CONVERSIONS_MAX = 2;
/** Order in which the splits of an ingested version follow each other. */
const SPLITS = ['train.arrow', 'validation.arrow', 'test.arrow'];

/** A file as it is sent; a size is known where nothing is converted. */
export type Content = { body: Readable; sizeBytes?: number };
export type VersionCsv = (version: Pick<VersionRow, 'ordinal' | 'files'>) => Promise<Content>;

/**
 * The rows of a version as one CSV: an uploaded CSV as it came, or the splits of an ingested version.
 * @throws AppError `dataset_not_tabular`, `queue_full`, `malformed_data`
 */
export function createVersionCsv(openBlob: (sha256: string) => Promise<Readable>): VersionCsv {
  let converting = 0;

  async function* converted(files: readonly ArtifactRef[]): AsyncGenerator<Buffer> {
    if (converting >= CONVERSIONS_MAX)
      throw new AppError('queue_full', `${CONVERSIONS_MAX} downloads are made already; try again soon.`);
    converting += 1;
    try {
      for await (const text of csvOfArrow(
        files.map(
          ({ sha256 }) =>
            () =>
              openBlob(sha256),
        ),
      ))
        yield Buffer.from(text);
    } finally {
      converting -= 1;
    }
  }

  return async ({ ordinal, files }) => {
    const splits = SPLITS.flatMap((name) => files?.filter(({ path }) => path === name) ?? []);
    if (splits.length > 0) return { body: await begun(converted(splits)) };
    const [csv, ...others] = files?.filter(({ path }) => path.toLowerCase().endsWith('.csv')) ?? [];
    if (csv !== undefined && others.length === 0)
      return { body: await openBlob(csv.sha256), sizeBytes: csv.sizeBytes };
    throw new AppError(
      'dataset_not_tabular',
      `Version ${ordinal} has ${csv === undefined ? 'no' : 'more than one'} CSV file and was not ingested; ingest it with POST /v1/datasets/{id}/ingest.`,
    );
  };
}

/** A stream that has its first bytes already: what is wrong from the start is still answered with an error. */
export async function begun(chunks: AsyncGenerator<Buffer>): Promise<Readable> {
  const first = await chunks.next();
  const stream = Readable.from(
    (async function* () {
      if (first.done !== true) yield first.value;
      yield* chunks;
    })(),
    { objectMode: false },
  );
  // also of a stream that nobody ever read
  stream.once('close', () => void chunks.return(undefined).catch(() => undefined));
  return stream;
}
