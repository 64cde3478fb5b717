import { Uuid, WireError } from '@millrace/contracts';
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
import Type from 'typebox';
import { archiveLimits } from '../uploads/archive/archive-files.ts';
import { prefersAsync } from '../uploads/upload.routes.ts';
import type { VersionService } from '../versions/version.service.ts';
import type { PartUploadService } from './part-upload.service.ts';
import type { PartUploadRow } from './part-upload.table.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const text = (maxLength: number) => Type.Optional(Type.String({ maxLength }));

const PartUploadView = Type.Object({
  id: Uuid,
  modelId: Type.String(),
  version: Type.String(),
  state: Type.String({ description: 'open, completing, completed, failed, aborted or expired.' }),
  files: Type.Array(PartFileView),
  modelVersionId: Nullable(Uuid),
  importId: Nullable(Uuid),
  error: Nullable(WireError),
  createdAt: Type.String(),
  expiresAt: Type.String(),
});
const Begun = Type.Object({ ...PartUploadView.properties, parts: PartAddresses });
const Done = Type.Object({
  success: Type.Literal(true),
  modelId: Type.String(),
  version: Type.String(),
  uploadedAt: Type.Integer({ description: 'Unix time in ms.' }),
});
const Later = Type.Object({
  success: Type.Literal(true),
  modelId: Type.String(),
  version: Type.String(),
  uploadId: Uuid,
  importId: Type.Optional(Uuid),
});
const Begin = Type.Object(
  {
    modelId: Type.String({ minLength: 1, maxLength: 255 }),
    version: Type.String({ minLength: 1, maxLength: 255 }),
    framework: Type.String({ maxLength: 64 }),
    stage: text(64),
    inputSchema: text(65_536),
    outputSchema: text(65_536),
    metadata: text(65_536),
    files: Type.Array(PartFileRequest, { minItems: 1, maxItems: archiveLimits.filesMax }),
  },
  { additionalProperties: false },
);
const Params = Type.Object({ id: Uuid });

/** Uploads in parts: begin, send the parts straight to the object store, complete. */
export function partUploadRoutes(options: {
  partUploads: PartUploadService;
  versions: VersionService;
}): (app: HttpApp) => Promise<void> {
  const { partUploads, versions } = options;
  const tags = ['models'];
  const read = { scope: 'models:read' } as const;
  const write = { scope: 'models:write' } as const;

  return async function registerPartUploadRoutes(app) {
    app.post(
      '/v1/uploads',
      {
        config: write,
        bodyLimit: BEGIN_BODY_BYTES_MAX,
        schema: { operationId: 'beginUpload', tags, body: Begin, response: { 201: Begun } },
      },
      async (request, reply) => {
        const { files, ...fields } = request.body;
        const by = { ...request.principal, requestId: request.id };
        const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
        const row = await partUploads.begin(given as Record<string, string>, files, by);
        void reply.code(201).header('location', `/v1/uploads/${row.id}`);
        const parts = await addressPage(row, 0, (from, to) => partUploads.addresses(row, from, to, true));
        return { ...toView(row), parts };
      },
    );

    app.get(
      '/v1/uploads',
      {
        config: read,
        schema: {
          operationId: 'listUploads',
          tags,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(PartUploadView) },
        },
      },
      async ({ principal, query: { limit, cursor } }) => {
        const after = decodeCursor(Params, cursor);
        const rows = await partUploads.list(principal.tenant, {
          limit: limit + 1,
          ...(after === undefined ? {} : { beforeId: after.id }),
        });
        return toPage(rows, limit, ({ id }) => ({ id }), toView);
      },
    );

    app.get(
      '/v1/uploads/:id',
      {
        config: read,
        schema: { operationId: 'getUpload', tags, params: Params, response: { 200: PartUploadView } },
      },
      async ({ principal, params }) => toView(await partUploads.find(principal.tenant, params.id)),
    );

    app.get(
      '/v1/uploads/:id/parts',
      {
        config: write,
        schema: {
          operationId: 'getUploadParts',
          tags,
          params: Params,
          querystring: Type.Object({ cursor: pageQuery.cursor }, { additionalProperties: false }),
          response: { 200: PartAddresses },
        },
      },
      async ({ principal, params, query }) => {
        const row = await partUploads.find(principal.tenant, params.id);
        const first = decodeCursor(PartPlace, query.cursor)?.part ?? 0;
        return await addressPage(row, first, (from, to) => partUploads.addresses(row, from, to));
      },
    );

    app.post(
      '/v1/uploads/:id/complete',
      {
        config: write,
        schema: {
          operationId: 'completeUpload',
          tags,
          params: Params,
          response: { 200: Done, 201: Done, 202: Later },
        },
      },
      async (request, reply) => {
        const { principal, params } = request;
        const isAsync = prefersAsync(request.headers.prefer);
        const by = { ...principal, requestId: request.id };
        const row = await partUploads.complete(
          principal.tenant,
          params.id,
          by,
          isAsync ? 0 : COMPLETE_WAIT_MS,
        );
        if (isAsync) void reply.header('preference-applied', 'respond-async');
        const { modelId = '', version = '' } = row.fields;
        if (row.modelVersionId === null) {
          const importId = row.importId === null ? {} : { importId: row.importId };
          const at = row.importId === null ? `/v1/uploads/${row.id}` : `/v1/imports/${row.importId}`;
          void reply.code(202).header('location', at);
          return { success: true as const, modelId, version, uploadId: row.id, ...importId };
        }
        const found = await versions.findById(row.modelVersionId);
        void reply.code(row.isReused ? 200 : 201);
        const uploadedAt = found.version.createdAt.getTime();
        return {
          success: true as const,
          modelId: found.model.name,
          version: found.version.label,
          uploadedAt,
        };
      },
    );

    app.delete(
      '/v1/uploads/:id',
      {
        config: write,
        schema: { operationId: 'abortUpload', tags, params: Params, response: { 200: PartUploadView } },
      },
      async ({ principal, params }) => toView(await partUploads.abort(principal.tenant, params.id)),
    );
  };
}

function toView(row: PartUploadRow) {
  return {
    id: row.id,
    modelId: row.fields.modelId ?? '',
    version: row.fields.version ?? '',
    state: row.state,
    files: toFileViews(row.files),
    modelVersionId: row.modelVersionId,
    importId: row.importId,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
  };
}
