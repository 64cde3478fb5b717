import { AppError, Name, newId, QualityPolicy, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionService } from '../versions/version.service.ts';
import type { DatasetRepository } from './dataset.repository.ts';
import { DatasetView, toDatasetView } from './dataset.view.ts';

const Cursor = Type.Object({ createdAt: Type.String(), id: Type.String() });
const tags = ['datasets'];

export type DatasetRoutesOptions = {
  database: Database;
  datasets: DatasetRepository;
  versions: VersionService;
};

/** Create, list and read datasets. */
export function datasetRoutes({
  database,
  datasets,
  versions,
}: DatasetRoutesOptions): (app: HttpApp) => Promise<void> {
  return async function registerDatasetRoutes(app) {
    app.post(
      '/v1/datasets',
      {
        config: { scope: 'data:write' },
        schema: {
          operationId: 'createDataset',
          tags,
          body: Type.Object(
            { name: Name, description: Type.Optional(Type.String({ maxLength: 4_096 })) },
            { additionalProperties: false },
          ),
          response: { 200: DatasetView, 201: DatasetView },
        },
      },
      async (request, reply) => {
        versions.assertName(request.body.name);
        const { dataset, isNew } = await database.transaction((tx) =>
          datasets.upsert(tx, {
            id: newId(),
            tenant: request.principal.tenant,
            name: request.body.name,
            description: request.body.description ?? '',
          }),
        );
        return reply.code(isNew ? 201 : 200).send(toDatasetView(dataset));
      },
    );

    app.get(
      '/v1/datasets',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'listDatasets',
          tags,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(DatasetView) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const after = decodeCursor(Cursor, cursor);
        const rows = await datasets.list(database.db, request.principal.tenant, {
          limit: limit + 1,
          ...(after === undefined ? {} : { after: { createdAt: new Date(after.createdAt), id: after.id } }),
        });
        return toPage(
          rows,
          limit,
          (row) => ({ createdAt: row.createdAt.toISOString(), id: row.id }),
          toDatasetView,
        );
      },
    );

    app.put(
      '/v1/datasets/:datasetId/quality-policy',
      {
        config: { scope: 'data:write' },
        schema: {
          operationId: 'setDatasetQualityPolicy',
          tags,
          params: Type.Object({ datasetId: Uuid }),
          body: QualityPolicy,
          response: { 200: DatasetView },
        },
      },
      async (request) => {
        const { datasetId } = request.params;
        const [row] = await database.transaction(async (tx) => {
          const found = await datasets.find(tx, request.principal.tenant, datasetId);
          return found === undefined ? [] : datasets.setQuality(tx, datasetId, request.body);
        });
        if (row === undefined) throw new AppError('dataset_not_found', `There is no dataset ${datasetId}.`);
        return toDatasetView(row);
      },
    );

    app.get(
      '/v1/datasets/:datasetId',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'getDataset',
          tags,
          params: Type.Object({ datasetId: Uuid }),
          response: { 200: DatasetView },
        },
      },
      async (request) => {
        const { datasetId } = request.params;
        const row = await datasets.find(database.db, request.principal.tenant, datasetId);
        if (row === undefined) throw new AppError('dataset_not_found', `There is no dataset ${datasetId}.`);
        return toDatasetView(row);
      },
    );
  };
}
