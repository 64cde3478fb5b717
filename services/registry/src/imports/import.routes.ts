import { ArtifactRef, Uuid, WireError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { ImportService } from './import.service.ts';
import type { ImportRow } from './import.table.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** An upload that is converted before it becomes a version. */
export const ImportView = Type.Object({
  id: Uuid,
  modelId: Type.String({ description: 'Name of the model.' }),
  version: Type.String(),
  state: Type.Union([
    Type.Literal('converting'),
    Type.Literal('registered'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
  ]),
  format: Type.Union([
    Type.Literal('saved_model'),
    Type.Literal('keras'),
    Type.Literal('tfjs_graph'),
    Type.Literal('weights'),
  ]),
  files: Type.Array(ArtifactRef, { description: 'What was uploaded.' }),
  conversion: Nullable(Type.String({ description: 'Path of the conversion job, once there is one.' })),
  attempts: Type.Integer({
    minimum: 0,
    description: 'Times that a worker took the conversion up; 0 while it waits for one.',
  }),
  startedAt: Nullable(Type.String({ description: 'When a worker first took it up.' })),
  deadlineAt: Type.String({ description: 'An import that is not over by then fails with import_timeout.' }),
  modelVersionId: Nullable(Uuid),
  error: Nullable(WireError),
  createdAt: Type.String(),
  finishedAt: Nullable(Type.String()),
});
type ImportView = Static<typeof ImportView>;

/** An import as it is shown. */
export function toImportView(row: ImportRow): ImportView {
  return {
    id: row.id,
    modelId: row.model,
    version: row.label,
    state: row.state,
    format: row.format,
    files: [...row.files],
    conversion: row.conversionJobId === null ? null : `/v1/conversions/${row.conversionJobId}`,
    attempts: row.attempts,
    startedAt: row.startedAt?.toISOString() ?? null,
    deadlineAt: row.deadlineAt.toISOString(),
    modelVersionId: row.modelVersionId,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}

/** `GET /v1/imports/{id}`: where an upload stands that is converted first; `POST …/cancel` ends it. */
export function importRoutes(options: { imports: ImportService }): (app: HttpApp) => Promise<void> {
  return async function registerImportRoutes(app) {
    app.get(
      '/v1/imports/:id',
      {
        config: { scope: 'models:read' },
        schema: {
          operationId: 'getModelImport',
          tags: ['models'],
          params: Type.Object({ id: Uuid }),
          response: { 200: ImportView },
        },
      },
      async ({ principal, params }) => toImportView(await options.imports.find(principal.tenant, params.id)),
    );

    app.post(
      '/v1/imports/:id/cancel',
      {
        config: { scope: 'models:write' },
        schema: {
          operationId: 'cancelModelImport',
          tags: ['models'],
          params: Type.Object({ id: Uuid }),
          response: { 200: ImportView },
        },
      },
      async ({ principal, params }) =>
        toImportView(await options.imports.cancel(principal.tenant, params.id)),
    );
  };
}
