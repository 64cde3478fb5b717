import { JsonObject, Sha256, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionService } from '../versions/version.service.ts';
import type { ChangeRow } from './change-log.table.ts';
import type { ChangeLog } from './change-log.ts';
import type { HistoryService } from './history.service.ts';
import { PastState } from './state.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Change = Type.Object({ seq: Type.Integer(), entry: JsonObject, prevHash: Sha256, hash: Sha256 });
const Verified = Type.Object({
  verified: Type.Literal(true),
  length: Type.Integer({ description: 'Rows in the chain; the sequence of the last.' }),
  head: Sha256,
});
const Chain = Type.Object({
  chainId: Uuid,
  model: Nullable(Type.String({ description: 'Null for the history of the tenant.' })),
  deletedAt: Nullable(Type.String()),
});
const Head = Type.Object({
  chainId: Uuid,
  model: Nullable(Type.String()),
  seq: Type.Integer({ description: 'Rows in the chain.' }),
  head: Sha256,
  issuedAt: Type.String(),
  bundle: JsonObject,
});
const Production = Type.Object({
  model: Type.String(),
  modelId: Uuid,
  version: Type.String(),
  modelVersionId: Uuid,
  packageDigest: Nullable(Sha256),
  since: Type.String(),
  by: Type.String(),
  approvedBy: Type.Array(Type.String()),
  dataset: Nullable(JsonObject),
});
const StateAt = Type.Object({
  model: Type.String(),
  at: Type.String(),
  head: Type.Object({ seq: Type.Integer(), hash: Sha256 }),
  ...PastState.properties,
  isComplete: Type.Boolean({ description: 'False when more held then than one answer tells.' }),
});
const At = Type.String({ format: 'date-time', description: 'ISO 8601 with zone.' });
const ModelParams = Type.Object({ name: Type.String() });
const ChainParams = Type.Object({ chainId: Uuid });
const SeqCursor = Type.Object({ seq: Type.Integer() });

export type HistoryRoutesOptions = {
  database: Database;
  versions: VersionService;
  changeLog: ChangeLog;
  histories: HistoryService;
};

/** Histories, oldest row first, the check of their chains, their signed heads, and what held when. */
export function historyRoutes(options: HistoryRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, versions, changeLog, histories } = options;
  const config = { scope: 'models:read' } as const;
  const tags = ['models'];
  const paged = Type.Object(pageQuery, { additionalProperties: false });
  return async function registerHistoryRoutes(app) {
    app.get(
      '/v1/models/:name/history',
      {
        config,
        schema: {
          operationId: 'getModelHistory',
          tags,
          params: ModelParams,
          querystring: paged,
          response: { 200: pageOf(Change) },
        },
      },
      async (request) => {
        const model = await versions.model(request.principal.tenant, request.params.name);
        return page(model.id, request.query);
      },
    );

    app.get(
      '/v1/models/:name/history/verify',
      {
        config,
        schema: { operationId: 'verifyModelHistory', tags, params: ModelParams, response: { 200: Verified } },
      },
      async (request) => {
        const model = await versions.model(request.principal.tenant, request.params.name);
        return { verified: true as const, ...(await changeLog.verify(database.db, model.id)) };
      },
    );

    app.get(
      '/v1/models/:name/state',
      {
        config,
        schema: {
          operationId: 'getModelStateAt',
          tags,
          params: ModelParams,
          querystring: Type.Object({ at: At }, { additionalProperties: false }),
          response: { 200: StateAt },
        },
      },
      async ({ principal, params, query }) => {
        const at = new Date(query.at);
        const state = await histories.stateAt(principal.tenant, params.name, at);
        return { model: params.name, at: at.toISOString(), ...state };
      },
    );

    app.get(
      '/v1/governance/state',
      {
        config,
        schema: {
          operationId: 'getProductionAt',
          tags: ['governance'],
          querystring: Type.Object({ ...pageQuery, at: At }, { additionalProperties: false }),
          response: { 200: pageOf(Production) },
        },
      },
      async ({ principal, query }) => {
        const after = decodeCursor(Type.Object({ modelId: Uuid, modelVersionId: Uuid }), query.cursor);
        const rows = await histories.productionAt(principal.tenant, new Date(query.at), {
          limit: query.limit + 1,
          after,
        });
        const keyOf = (row: (typeof rows)[number]) => ({
          modelId: row.modelId,
          modelVersionId: row.modelVersionId,
        });
        return toPage(rows, query.limit, keyOf, ({ entry, approvedBy, ...row }) => ({
          ...row,
          version: String(entry.version),
          since: entry.at,
          by: entry.by,
          approvedBy: [...approvedBy],
          dataset: row.dataset === null ? null : { ...row.dataset },
        }));
      },
    );

    app.get(
      '/v1/governance/histories',
      {
        config,
        schema: {
          operationId: 'listHistories',
          tags: ['governance'],
          querystring: paged,
          response: { 200: pageOf(Chain) },
        },
      },
      async ({ principal, query }) => {
        const after = decodeCursor(Type.Object({ chainId: Uuid }), query.cursor)?.chainId;
        const rows = await histories.chains(principal.tenant, { limit: query.limit + 1, after });
        return toPage(
          rows,
          query.limit,
          ({ chainId }) => ({ chainId }),
          ({ deletedAt, ...chain }) => ({ ...chain, deletedAt: deletedAt?.toISOString() ?? null }),
        );
      },
    );

    app.get(
      '/v1/governance/histories/:chainId',
      {
        config,
        schema: {
          operationId: 'getHistory',
          tags: ['governance'],
          params: ChainParams,
          querystring: paged,
          response: { 200: pageOf(Change) },
        },
      },
      async ({ principal, params, query }) => {
        const { chainId } = await histories.chain(principal.tenant, params.chainId);
        return page(chainId, query);
      },
    );

    app.get(
      '/v1/governance/histories/:chainId/head',
      {
        config,
        schema: {
          operationId: 'getHistoryHead',
          tags: ['governance'],
          params: ChainParams,
          response: { 200: Head },
        },
      },
      async ({ principal, params }) => {
        const { head, bundle } = await histories.head(
          await histories.chain(principal.tenant, params.chainId),
        );
        return { ...head, bundle: bundle as unknown as Record<string, unknown> };
      },
    );
  };

  async function page(chainId: string, query: { limit: number; cursor?: string }) {
    const after = decodeCursor(SeqCursor, query.cursor);
    const rows = await histories.rows(chainId, after?.seq ?? 0, query.limit + 1);
    return toPage(rows, query.limit, (row) => ({ seq: row.seq }), toChange);
  }
}

function toChange({ seq, entry, prevHash, hash }: ChangeRow) {
  return { seq, entry: { ...entry }, prevHash, hash };
}
