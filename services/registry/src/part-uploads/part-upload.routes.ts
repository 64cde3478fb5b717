import { Sha256, Uuid, WireError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, encodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import { prefersAsync } from '../uploads/upload.routes.ts';
import type { VersionService } from '../versions/version.service.ts';
import { filesMax, PartFileRequest } from './part-plan.ts';
import type { PartUploadService } from './part-upload.service.ts';
import type { PartUploadRow } from './part-upload.table.ts';

/** A list of ten thousand digests and the names of files. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;
/** Addresses in one answer. */
const ADDRESSES_MAX = 100;
/** A proxy waits a minute for a silent server (ms). */
const WAIT_MS = 50_000;

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const text = (maxLength: number) => Type.Optional(Type.String({ maxLength }));

const Address = Type.Object({
  file: Type.String(),
  number: Type.Integer(),
  sizeBytes: Type.Integer(),
  url: Type.String({ description: 'PUT the bytes of the part here.' }),
  headers: Type.Record(Type.String(), Type.String(), { description: 'Send these with it.' }),
});
const Addresses = pageOf(Address);
const PartUploadView = Type.Object({
  id: Uuid,
  modelId: Type.String(),
  version: Type.String(),
  state: Type.String({ description: 'open, completing, completed, failed, aborted or expired.' }),
  files: Type.Array(
    Type.Object({ name: Type.String(), sizeBytes: Type.Integer(), sha256: Sha256, parts: Type.Integer() }),
  ),
  modelVersionId: Nullable(Uuid),
  importId: Nullable(Uuid),
  error: Nullable(WireError),
  createdAt: Type.String(),
  expiresAt: Type.String(),
});
const Begun = Type.Object({ ...PartUploadView.properties, parts: Addresses });
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
    files: Type.Array(PartFileRequest, { minItems: 1, maxItems: filesMax }),
  },
  { additionalProperties: false },
);
const Params = Type.Object({ id: Uuid });
const Place = Type.Object({ part: Type.Integer({ minimum: 0 }) });

/** Uploads in parts: begin, send the parts straight to the object store, complete. */
export function partUploadRoutes(options: {
  partUploads: PartUploadService;
  versions: VersionService;
}): (app: HttpApp) => Promise<void> {
  const { partUploads, versions } = options;
  const tags = ['models'];
  const read = { scope: 'models:read' } as const;
  const write = { scope: 'models:write' } as const;

  async function addressPage(row: PartUploadRow, from: number) {
    const items = await partUploads.addresses(row, from, from + ADDRESSES_MAX);
    const total = row.files.reduce((sum, { partDigests }) => sum + partDigests.length, 0);
    const end = from + items.length;
    return { items, nextCursor: end < total ? encodeCursor({ part: end }) : null };
  }

  return async function registerPartUploadRoutes(app) {
    app.post(
      '/v1/uploads',
      {
        config: write,
        bodyLimit: BODY_BYTES_MAX,
        schema: { operationId: 'beginUpload', tags, body: Begin, response: { 201: Begun } },
      },
      async (request, reply) => {
        const { files, ...fields } = request.body;
        const by = { ...request.principal, requestId: request.id };
        const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
        const row = await partUploads.create(given as Record<string, string>, files, by);
        void reply.code(201).header('location', `/v1/uploads/${row.id}`);
        return { ...toView(row), parts: await addressPage(row, 0) };
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
          response: { 200: Addresses },
        },
      },
      async ({ principal, params, query }) => {
        const row = await partUploads.find(principal.tenant, params.id);
        return addressPage(row, decodeCursor(Place, query.cursor)?.part ?? 0);
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
        const row = await partUploads.complete(principal.tenant, params.id, by, isAsync ? 0 : WAIT_MS);
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
    files: row.files.map(({ name, sizeBytes, sha256, partDigests }) => ({
      name,
      sizeBytes,
      sha256,
      parts: partDigests.length,
    })),
    modelVersionId: row.modelVersionId,
    importId: row.importId,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
  };
}
