import { Sha256, Stage } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import { readTagFilter, tagQuery, WordsPatch } from '../models/tags.ts';
import type { VersionRepository } from './version.repository.ts';
import type { VersionService } from './version.service.ts';
import { toVersionDetail, toVersionSummary, VersionDetail, VersionSummary } from './version.view.ts';

const PATH = '/v1/models/:name/versions';
const ModelParams = Type.Object({ name: Type.String() });
const VersionParams = Type.Object({ name: Type.String(), version: Type.String() });
const tags = ['models'];
const read = { scope: 'models:read' } as const;
const write = { scope: 'models:write' } as const;

const Verification = Type.Object({
  verified: Type.Literal(true),
  files: Type.Integer(),
  sizeBytes: Type.Integer(),
  keyId: Type.String(),
  rootDigest: Type.String(),
});

export type VersionRoutesOptions = {
  database: Database;
  repository: VersionRepository;
  versions: VersionService;
};

/** Versions of a model: list, read, describe, delete, move between stages, verify. */
export function versionRoutes(options: VersionRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, repository, versions } = options;
  return async function registerVersionRoutes(app) {
    app.get(
      PATH,
      {
        config: read,
        schema: {
          operationId: 'listModelVersions',
          tags,
          params: ModelParams,
          querystring: Type.Object(
            {
              ...pageQuery,
              stage: Type.Optional(Stage),
              packageDigest: Type.Optional(Sha256),
              tag: tagQuery,
            },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(VersionSummary) },
        },
      },
      async (request) => {
        const model = await versions.model(request.principal.tenant, request.params.name);
        const { limit, cursor, stage, packageDigest, tag } = request.query;
        const after = decodeCursor(Type.Object({ ordinal: Type.Integer() }), cursor);
        const rows = await repository.list(database.db, model.id, {
          limit: limit + 1,
          ...(after === undefined ? {} : { belowOrdinal: after.ordinal }),
          stage,
          packageDigest,
          tag: readTagFilter(tag),
        });
        return toPage(rows, limit, (row) => ({ ordinal: row.ordinal }), toVersionSummary);
      },
    );

    app.get(
      `${PATH}/:version`,
      {
        config: read,
        schema: {
          operationId: 'getModelVersion',
          tags,
          params: VersionParams,
          response: { 200: VersionDetail },
        },
      },
      async ({ principal, params }) =>
        toVersionDetail(await versions.find(principal.tenant, params.name, params.version)),
    );

    app.patch(
      `${PATH}/:version`,
      {
        config: write,
        schema: {
          operationId: 'updateModelVersion',
          tags,
          params: VersionParams,
          body: WordsPatch,
          response: { 200: VersionDetail },
        },
      },
      async ({ principal, params, body }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        await versions.update(found, body, principal.id);
        return toVersionDetail(await versions.findById(found.version.id));
      },
    );

    app.delete(
      `${PATH}/:version`,
      {
        config: write,
        schema: {
          operationId: 'deleteModelVersion',
          tags,
          params: VersionParams,
          response: { 204: Type.Null() },
        },
      },
      async ({ principal, params }, reply) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        await versions.remove(found, principal.id);
        return reply.status(204).send(null);
      },
    );

    app.post(
      `${PATH}/:version/stage`,
      {
        config: write,
        schema: {
          operationId: 'setModelVersionStage',
          tags,
          params: VersionParams,
          body: Type.Object({ stage: Stage }, { additionalProperties: false }),
          response: { 200: VersionDetail },
        },
      },
      async ({ principal, params, body }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        await versions.setStage(found, body.stage, principal.id);
        return toVersionDetail(await versions.findById(found.version.id));
      },
    );

    app.post(
      `${PATH}/:version/verify`,
      {
        config: read,
        schema: {
          operationId: 'verifyModelVersion',
          tags,
          params: VersionParams,
          response: { 200: Verification },
        },
      },
      async ({ principal, params }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        const result = await versions.verify(found);
        return { verified: true as const, files: found.package.manifest.files.length, ...result };
      },
    );
  };
}
