import { AppError, Uuid } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import Value from 'typebox/value';
import type { DatasetRepository } from './dataset.repository.ts';
import type { DatasetRow, VersionRow } from './dataset.table.ts';

/** The dataset of this id, or else of this name. @throws AppError `dataset_not_found` */
export async function findDataset(
  db: Executor,
  datasets: DatasetRepository,
  tenant: string,
  idOrName: string,
): Promise<DatasetRow> {
  const byId = Value.Check(Uuid, idOrName) ? await datasets.find(db, tenant, idOrName) : undefined;
  const found = byId ?? (await datasets.findByName(db, tenant, idOrName));
  if (found !== undefined) return found;
  throw new AppError('dataset_not_found', `There is no dataset ${JSON.stringify(idOrName)}.`);
}

/**
 * The version of this ordinal of a dataset, by its id or name; without an ordinal the newest that is ready.
 * @throws AppError `dataset_not_found`, `dataset_version_not_found`, `dataset_not_ready`
 */
export async function findReadyVersion(
  db: Executor,
  datasets: DatasetRepository,
  wanted: { tenant: string; dataset: string; ordinal: number | undefined },
): Promise<{ dataset: DatasetRow; version: VersionRow }> {
  const dataset = await findDataset(db, datasets, wanted.tenant, wanted.dataset);
  const version = await datasets.newestVersion(db, dataset.id, wanted.ordinal);
  if (version === undefined) {
    const which = wanted.ordinal === undefined ? 'no version yet' : `no version ${wanted.ordinal}`;
    throw new AppError('dataset_version_not_found', `Dataset ${dataset.name} has ${which}.`);
  }
  if (version.state !== 'ready')
    throw new AppError('dataset_not_ready', `Version ${version.ordinal} is ${version.state}.`);
  return { dataset, version };
}
