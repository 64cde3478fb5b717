import type { Bus } from '@millrace/bus';
import { serveRpc } from '@millrace/bus';
import { AppError, DatasetInput, findDatasetMethod, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import { findDataset } from '../datasets/find-dataset.ts';

/** `millrace.rpc.datasets.resolve`: the files of a ready version, for whoever is to train on it. */
export const resolveMethod = {
  request: Type.Object({ tenant: Type.String(), versionId: Uuid }),
  reply: DatasetInput,
};

export function serveVersions(deps: { bus: Bus; database: Database; datasets: DatasetRepository }) {
  return serveRpc(deps.bus, 'datasets', 'resolve', resolveMethod, async ({ tenant, versionId }) => {
    const found = await deps.datasets.findVersion(deps.database.db, versionId);
    if (found === undefined || found.dataset.tenant !== tenant) {
      throw new AppError('dataset_version_not_found', `There is no dataset version ${versionId}.`);
    }
    const { version, dataset } = found;
    if (version.digest === null || version.files === null) {
      throw new AppError('dataset_not_ready', `Dataset version ${versionId} is ${version.state}.`);
    }
    return { datasetId: dataset.id, versionId, digest: version.digest, files: version.files };
  });
}

/** `millrace.rpc.datasets.find`: for whoever takes in what was made of a dataset. */
export function serveDatasets({
  bus,
  database,
  datasets,
}: {
  bus: Bus;
  database: Database;
  datasets: DatasetRepository;
}) {
  return serveRpc(bus, 'datasets', 'find', findDatasetMethod, async ({ tenant, dataset }) => {
    const { id: datasetId, name } = await findDataset(database.db, datasets, tenant, dataset);
    return { datasetId, name };
  });
}
