import { AppError, Timestamp } from '@millrace/contracts';
import type { HttpApp, Role } from '@millrace/service-kit';
import { pageOf, pageQuery, roleNames, scopes } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import { pageByCreation } from '../created-page.ts';
import { TenantId } from '../tenants/tenant.routes.ts';
import type { KeyService } from './key.service.ts';
import { effectiveScopes } from './key.service.ts';
import type { ApiKeyRow } from './key.table.ts';

const ScopeName = Type.Enum([...scopes]);
const KeyView = Type.Object({
  id: Type.String(),
  principal: Type.String(),
  tenant: Type.String(),
  scopes: Type.Array(Type.String(), {
    description: 'What the key allows now, within the roles of its principal.',
  }),
  roles: Type.Array(Type.String()),
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
    tenant: Type.Optional(TenantId),
    scopes: Type.Optional(
      Type.Array(ScopeName, {
        minItems: 1,
        maxItems: scopes.length,
        description: 'Without scopes and roles the key follows the roles of its principal.',
      }),
    ),
    roles: Type.Optional(
      Type.Array(Type.Unsafe<Role>(Type.Enum([...roleNames])), { minItems: 1, maxItems: roleNames.length }),
    ),
    note: Type.Optional(Type.String({ maxLength: 500 })),
    expiresAt: Type.Optional(Timestamp),
  },
  { additionalProperties: false },
);
const config = { scope: 'admin', isAuditedFirst: true } as const;
const tags = ['keys'];

/** Making, listing and revoking API keys; all of it needs `admin`, and reaches as far as the caller's tenant does. */
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
          querystring: Type.Object(
            { ...pageQuery, tenant: Type.Optional(TenantId) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(KeyView) },
        },
      },
      async (request) => {
        const { tenant, ...query } = request.query;
        const list = (page: Parameters<KeyService['list']>[0]) =>
          keys.list({ ...page, ...(tenant !== undefined && { tenant }) }, request.principal);
        return await pageByCreation(query, list, toView);
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
      async (request) => toView(await keys.revoke(request.params.id, request.principal)),
    );
  };
}

function toView(row: ApiKeyRow): KeyView {
  return {
    id: row.id,
    principal: row.principalId,
    tenant: row.tenantId,
    scopes: effectiveScopes(row),
    roles: row.roles,
    note: row.note,
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}
