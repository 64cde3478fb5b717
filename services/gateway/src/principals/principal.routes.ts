import { Timestamp } from '@millrace/contracts';
import type { HttpApp, Role } from '@millrace/service-kit';
import { pageOf, pageQuery, roleNames } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import { pageByCreation } from '../created-page.ts';
import { TenantId } from '../tenants/tenant.routes.ts';
import type { PrincipalService } from './principal.service.ts';
import type { PrincipalRow } from './principal.table.ts';

/** A name, or `<issuer>:<subject>` for somebody who comes with a token of an identity provider. */
export const PrincipalId = Type.String({
  pattern: '^([A-Za-z0-9][A-Za-z0-9._@-]{0,127}|[a-z0-9][a-z0-9-]{0,31}:[A-Za-z0-9._@|=+-]{1,128})$',
});
const Roles = Type.Array(Type.Unsafe<Role>(Type.Enum([...roleNames])), { maxItems: roleNames.length });

const PrincipalView = Type.Object({
  id: Type.String(),
  tenant: Type.String(),
  roles: Type.Union([Type.Array(Type.String()), Type.Null()], {
    description: 'Bound all keys of the principal; null: each key says for itself what it may do.',
  }),
  note: Type.String(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  disabledAt: Type.Union([Timestamp, Type.Null()]),
});
const Note = Type.Optional(Type.String({ maxLength: 500 }));
const ById = Type.Object({ id: Type.String({ maxLength: 161 }) });
const config = { scope: 'admin', isAuditedFirst: true } as const;
const tags = ['principals'];

/** Principals of the caller's tenant; admins of the platform look after those of all tenants. */
export function principalRoutes(deps: { principals: PrincipalService }): (app: HttpApp) => Promise<void> {
  const { principals } = deps;
  return async function registerPrincipalRoutes(app) {
    app.post(
      '/v1/principals',
      {
        config,
        schema: {
          operationId: 'createPrincipal',
          tags,
          body: Type.Object(
            { id: PrincipalId, tenant: Type.Optional(TenantId), roles: Roles, note: Note },
            { additionalProperties: false },
          ),
          response: { 201: PrincipalView },
        },
      },
      async (request, reply) =>
        reply.code(201).send(toView(await principals.create(request.body, request.principal))),
    );
    app.get(
      '/v1/principals',
      {
        config,
        schema: {
          operationId: 'listPrincipals',
          tags,
          querystring: Type.Object(
            { ...pageQuery, tenant: Type.Optional(TenantId) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(PrincipalView) },
        },
      },
      async (request) => {
        const { tenant, ...query } = request.query;
        const list = (page: Parameters<PrincipalService['list']>[0]) =>
          principals.list({ ...page, ...(tenant !== undefined && { tenant }) }, request.principal);
        return await pageByCreation(query, list, toView);
      },
    );
    app.get(
      '/v1/principals/:id',
      {
        config,
        schema: { operationId: 'getPrincipal', tags, params: ById, response: { 200: PrincipalView } },
      },
      async (request) => toView(await principals.get(request.params.id, request.principal)),
    );
    app.patch(
      '/v1/principals/:id',
      {
        config,
        schema: {
          operationId: 'changePrincipal',
          tags,
          params: ById,
          body: Type.Object(
            { roles: Type.Optional(Roles), note: Note, disabled: Type.Optional(Type.Boolean()) },
            { additionalProperties: false, minProperties: 1 },
          ),
          response: { 200: PrincipalView },
        },
      },
      async (request) => toView(await principals.change(request.params.id, request.body, request.principal)),
    );
  };
}

function toView(row: PrincipalRow): Static<typeof PrincipalView> {
  return {
    id: row.id,
    tenant: row.tenantId,
    roles: row.roles,
    note: row.note,
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    disabledAt: row.disabledAt?.toISOString() ?? null,
  };
}
