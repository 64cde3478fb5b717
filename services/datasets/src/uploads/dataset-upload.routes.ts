import { AppError, Uuid, WireError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import {
  addressPage,
  BEGIN_BODY_BYTES_MAX,
  COMPLETE_WAIT_MS,
  PartAddresses,
  PartFileRequest,
  PartFileView,
  PartPlace,
  toFileViews,
} from '@millrace/uploads';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import { MAX_UPLOAD_FILES } from '../versions/upload.ts';
import type { BegunUpload, DatasetUploadService } from './dataset-upload.service.ts';
import type { DatasetUploadRow } from './dataset-upload.table.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const DatasetUploadView = Type.Object({
  id: Uuid,
  datasetId: Uuid,
  state: Type.String({ description: 'open, completing, completed, failed, aborted or expired.' }),
  files: Type.Array(PartFileView),
  versionId: Nullable(Uuid),
  isReused: Type.Boolean({ description: 'The files were a version already.' }),
  error: Nullable(WireError),
  createdAt: Type.String(),
  expiresAt: Type.String(),
});
const BegunView = Type.Object({ ...DatasetUploadView.properties, parts: PartAddresses });
const DatasetParams = Type.Object({ datasetId: Uuid });
const UploadParams = Type.Object({ datasetId: Uuid, uploadId: Uuid });
const Place = Type.Object({ id: Uuid });
const Begin = Type.Object(
  { files: Type.Array(PartFileRequest, { minItems: 1, maxItems: MAX_UPLOAD_FILES }) },
  { additionalProperties: false },
);

export type DatasetUploadRoutesOptions = {
  database: Database;
  datasets: DatasetRepository;
  uploads: DatasetUploadService;
};

/** Uploads in parts: begin or go on, send the missing parts straight to the object store, complete. */
export function datasetUploadRoutes(options: DatasetUploadRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, datasets, uploads } = options;
  const tags = ['datasets'];
  const read = { scope: 'data:read' } as const;
  const write = { scope: 'data:write' } as const;
  const all = '/v1/datasets/:datasetId/uploads';

  async function assertDataset(tenant: string, datasetId: string): Promise<void> {
    if ((await datasets.find(database.db, tenant, datasetId)) === undefined)
      throw new AppError('dataset_not_found', `There is no dataset ${datasetId}.`);
  }

  async function withParts(begun: BegunUpload, from: number) {
    const { row } = begun;
    const isOpen = row.state === 'open';
    return isOpen
      ? await addressPage(row, from, uploads.addressesOf(begun))
      : { items: [], nextCursor: null };
  }

  return async function registerDatasetUploadRoutes(app) {
    app.post(
      all,
      {
        config: write,
        bodyLimit: BEGIN_BODY_BYTES_MAX,
        schema: {
          operationId: 'beginDatasetUpload',
          tags,
          params: DatasetParams,
          body: Begin,
          response: { 200: BegunView, 201: BegunView },
        },
      },
      async ({ principal, params, body }, reply) => {
        await assertDataset(principal.tenant, params.datasetId);
        const begun = await uploads.begin(params.datasetId, body.files, principal);
        void reply
          .code(begun.isNew ? 201 : 200)
          .header('location', `/v1/datasets/${params.datasetId}/uploads/${begun.row.id}`);
        return { ...toView(begun.row), parts: await withParts(begun, 0) };
      },
    );

    app.get(
      all,
      {
        config: read,
        schema: {
          operationId: 'listDatasetUploads',
          tags,
          params: DatasetParams,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(DatasetUploadView) },
        },
      },
      async ({ principal, params, query: { limit, cursor } }) => {
        await assertDataset(principal.tenant, params.datasetId);
        const after = decodeCursor(Place, cursor);
        const rows = await uploads.listOf(principal.tenant, params.datasetId, {
          limit: limit + 1,
          ...(after === undefined ? {} : { beforeId: after.id }),
        });
        return toPage(rows, limit, ({ id }) => ({ id }), toView);
      },
    );

    app.get(
      `${all}/:uploadId`,
      {
        config: read,
        schema: {
          operationId: 'getDatasetUpload',
          tags,
          params: UploadParams,
          response: { 200: DatasetUploadView },
        },
      },
      async ({ principal, params }) =>
        toView(await uploads.findOf(principal.tenant, params.datasetId, params.uploadId)),
    );

    app.get(
      `${all}/:uploadId/parts`,
      {
        config: write,
        schema: {
          operationId: 'getDatasetUploadParts',
          tags,
          params: UploadParams,
          querystring: Type.Object({ cursor: pageQuery.cursor }, { additionalProperties: false }),
          response: { 200: PartAddresses },
        },
      },
      async ({ principal, params, query }) => {
        const row = await uploads.findOf(principal.tenant, params.datasetId, params.uploadId);
        const from = decodeCursor(PartPlace, query.cursor)?.part ?? 0;
        return await addressPage(row, from, uploads.addressesOf({ row, isNew: false }));
      },
    );

    app.post(
      `${all}/:uploadId/complete`,
      {
        config: write,
        schema: {
          operationId: 'completeDatasetUpload',
          tags,
          params: UploadParams,
          response: { 200: DatasetUploadView, 202: DatasetUploadView },
        },
      },
      async ({ principal, params, headers }, reply) => {
        await uploads.findOf(principal.tenant, params.datasetId, params.uploadId);
        const isAsync = String(headers.prefer ?? '').includes('respond-async');
        if (isAsync) void reply.header('preference-applied', 'respond-async');
        const waitMs = isAsync ? 0 : COMPLETE_WAIT_MS;
        const row = await uploads.complete(principal.tenant, params.uploadId, principal, waitMs);
        return reply.code(row.state === 'completed' ? 200 : 202).send(toView(row));
      },
    );

    app.delete(
      `${all}/:uploadId`,
      {
        config: write,
        schema: {
          operationId: 'abortDatasetUpload',
          tags,
          params: UploadParams,
          response: { 200: DatasetUploadView },
        },
      },
      async ({ principal, params }) => {
        await uploads.findOf(principal.tenant, params.datasetId, params.uploadId);
        return toView(await uploads.abort(principal.tenant, params.uploadId));
      },
    );
  };
}

function toView(row: DatasetUploadRow): Static<typeof DatasetUploadView> {
  return {
    id: row.id,
    datasetId: row.datasetId,
    state: row.state,
    files: toFileViews(row.files),
    versionId: row.versionId,
    isReused: row.isReused,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
  };
}
