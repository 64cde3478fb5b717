import { AppError, Timestamp } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, scopes, toPage } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { KeyService } from './key.service.ts';
import type { ApiKeyRow } from './key.table.ts';

const ScopeName = Type.Enum([...scopes]);
const KeyView = Type.Object({
  id: Type.String(),
  principal: Type.String(),
  tenant: Type.String(),
  scopes: Type.Array(Type.String()),
  note: Type.String(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  expiresAt: Type.Union([Timestamp, Type.Null()]),
  revokedAt: Type.Union([Timestamp, Type.Null()]),
});
type KeyView = Static<typeof KeyView>;

const NewKey = Type.Object(
  {
    principal: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$',
      description: 'Who will use the key.',
    }),
    tenant: Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })),
    scopes: Type.Array(ScopeName, { minItems: 1, maxItems: scopes.length }),
    note: Type.Optional(Type.String({ maxLength: 500 })),
    expiresAt: Type.Optional(Timestamp),
  },
  { additionalProperties: false },
);
const Cursor = Type.Object({ createdAt: Type.String(), id: Type.String() });
const config = { scope: 'admin' } as const;
const tags = ['keys'];

/** Making, listing and revoking API keys; all of it needs `admin`. */
export function keyRoutes(deps: { keys: KeyService }): (app: HttpApp) => Promise<void> {
  const { keys } = deps;
  return async function registerKeyRoutes(app) {
    app.post(
      '/v1/keys',
      {
        config,
        schema: {
          operationId: 'createKey',
          tags,
          body: NewKey,
          response: {
            201: Type.Object({ ...KeyView.properties, key: Type.String({ description: 'Shown only now.' }) }),
          },
        },
      },
      async (request, reply) => {
        const { expiresAt } = request.body;
        if (expiresAt !== undefined && Date.parse(expiresAt) <= Date.now()) {
          throw new AppError('invalid_request', 'body.expiresAt must be in the future.');
        }
        const { row, key } = await keys.create(request.body, request.principal);
        return reply
          .code(201)
          .header('cache-control', 'no-store')
          .send({ ...toView(row), key });
      },
    );
    app.get(
      '/v1/keys',
      {
        config,
        schema: {
          operationId: 'listKeys',
          tags,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(KeyView) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const key = decodeCursor(Cursor, cursor);
        const before =
          key === undefined ? {} : { before: { createdAt: new Date(key.createdAt), id: key.id } };
        const rows = await keys.list({ limit: limit + 1, ...before });
        return toPage(rows, limit, (row) => ({ createdAt: row.createdAt.toISOString(), id: row.id }), toView);
      },
    );
    app.delete(
      '/v1/keys/:id',
      {
        config,
        schema: {
          operationId: 'revokeKey',
          tags,
          params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
          response: { 200: KeyView },
        },
      },
      async (request) => toView(await keys.revoke(request.params.id)),
    );
  };
}

function toView(row: ApiKeyRow): KeyView {
  return {
    id: row.id,
    principal: row.principalId,
    tenant: row.tenantId,
    scopes: row.scopes,
    note: row.note,
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}
