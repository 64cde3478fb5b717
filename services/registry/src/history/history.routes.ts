import { JsonObject, Sha256 } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionService } from '../versions/version.service.ts';
import type { ChangeRow } from './change-log.table.ts';
import type { ChangeLog } from './change-log.ts';

const Change = Type.Object({ seq: Type.Integer(), entry: JsonObject, prevHash: Sha256, hash: Sha256 });
const Chain = Type.Object({
  verified: Type.Literal(true),
  length: Type.Integer({ description: 'Rows in the chain; the sequence of the last.' }),
  head: Sha256,
});
const ModelParams = Type.Object({ name: Type.String() });

/** The history of a model, oldest first, and the check of its chain. */
export function historyRoutes(options: {
  database: Database;
  versions: VersionService;
  changeLog: ChangeLog;
}): (app: HttpApp) => Promise<void> {
  const { database, versions, changeLog } = options;
  const config = { scope: 'models:read' } as const;
  const tags = ['models'];
  return async function registerHistoryRoutes(app) {
    app.get(
      '/v1/models/:name/history',
      {
        config,
        schema: {
          operationId: 'getModelHistory',
          tags,
          params: ModelParams,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(Change) },
        },
      },
      async (request) => {
        const model = await versions.model(request.principal.tenant, request.params.name);
        const { limit, cursor } = request.query;
        const after = decodeCursor(Type.Object({ seq: Type.Integer() }), cursor);
        const rows = await changeLog.after(database.db, model.id, after?.seq ?? 0, limit + 1);
        return toPage(rows, limit, (row) => ({ seq: row.seq }), toChange);
      },
    );

    app.get(
      '/v1/models/:name/history/verify',
      {
        config,
        schema: { operationId: 'verifyModelHistory', tags, params: ModelParams, response: { 200: Chain } },
      },
      async (request) => {
        const model = await versions.model(request.principal.tenant, request.params.name);
        return { verified: true as const, ...(await changeLog.verify(database.db, model.id)) };
      },
    );
  };
}

function toChange({ seq, entry, prevHash, hash }: ChangeRow) {
  return { seq, entry: { ...entry }, prevHash, hash };
}
