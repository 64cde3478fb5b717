import { AppError, Uuid } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import Value from 'typebox/value';
import type { DatasetRepository } from './dataset.repository.ts';
import type { DatasetRow } from './dataset.table.ts';

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
