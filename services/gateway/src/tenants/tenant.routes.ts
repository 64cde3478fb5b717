import { TenantQuota, Timestamp, tenantUsageMethod } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { pageOf, pageQuery } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import { pageByCreation } from '../created-page.ts';
import type { TenantService } from './tenant.service.ts';
import type { TenantRow } from './tenant.table.ts';
import type { Usage } from './usage.ts';

export const TenantId = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' });

const Limits = Type.Object(
  {
    requestsPerSecond: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Twice as many in a burst.' }),
    ),
    concurrentRequests: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    ...TenantQuota.properties,
  },
  { additionalProperties: false, description: 'What is absent has no bound.' },
);
const TenantView = Type.Object({
  id: Type.String(),
  note: Type.String(),
  limits: Limits,
  createdAt: Timestamp,
  createdBy: Type.String(),
  disabledAt: Type.Union([Timestamp, Type.Null()]),
});
const changeable = {
  note: Type.Optional(Type.String({ maxLength: 500 })),
  limits: Type.Optional(Limits),
};
const Counts = Type.Object({
  requests: Type.Integer(),
  predictions: Type.Integer(),
  refused: Type.Integer({ description: 'Requests over a rate or quota.' }),
});
const UsageView = Type.Object({
  tenant: Type.String(),
  limits: Limits,
  concurrentRequests: Type.Integer({ description: 'Open at this gateway now.' }),
  principals: Type.Integer(),
  keys: Type.Integer({ description: 'Valid API keys.' }),
  kept: Type.Object(tenantUsageMethod.reply.properties, {
    description: 'What services keep for the tenant; what one of them could not tell is absent.',
  }),
  unavailable: Type.Array(Type.String(), { description: 'Services that did not answer.' }),
  lastDay: Counts,
  last30Days: Counts,
});
const ById = Type.Object({ id: Type.String({ maxLength: 63 }) });
const config = { scope: 'admin', isAuditedFirst: true } as const;
const tags = ['tenants'];

/** Tenants: admins of the platform make and change them, admins of a tenant see their own. */
export function tenantRoutes(deps: {
  tenants: TenantService;
  usage: Usage;
}): (app: HttpApp) => Promise<void> {
  const { tenants, usage } = deps;
  return async function registerTenantRoutes(app) {
    app.post(
      '/v1/tenants',
      {
        config,
        schema: {
          operationId: 'createTenant',
          tags,
          body: Type.Object({ id: TenantId, ...changeable }, { additionalProperties: false }),
          response: { 201: TenantView },
        },
      },
      async (request, reply) =>
        reply.code(201).send(toView(await tenants.create(request.body, request.principal))),
    );
    app.get(
      '/v1/tenants',
      {
        config,
        schema: {
          operationId: 'listTenants',
          tags,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(TenantView) },
        },
      },
      async (request) =>
        await pageByCreation(request.query, (page) => tenants.list(page, request.principal), toView),
    );
    app.get(
      '/v1/tenants/:id',
      { config, schema: { operationId: 'getTenant', tags, params: ById, response: { 200: TenantView } } },
      async (request) => toView(await tenants.get(request.params.id, request.principal)),
    );
    app.get(
      '/v1/tenants/:id/usage',
      {
        config,
        schema: { operationId: 'getTenantUsage', tags, params: ById, response: { 200: UsageView } },
      },
      async (request) => {
        const { id: tenant, limits } = await tenants.get(request.params.id, request.principal);
        return { tenant, limits, ...(await usage(tenant)) };
      },
    );
    app.patch(
      '/v1/tenants/:id',
      {
        config,
        schema: {
          operationId: 'changeTenant',
          tags,
          params: ById,
          body: Type.Object(
            { ...changeable, disabled: Type.Optional(Type.Boolean()) },
            { additionalProperties: false, minProperties: 1 },
          ),
          response: { 200: TenantView },
        },
      },
      async (request) => toView(await tenants.change(request.params.id, request.body, request.principal)),
    );
  };
}

function toView(row: TenantRow): Static<typeof TenantView> {
  return {
    id: row.id,
    note: row.note,
    limits: row.limits,
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    disabledAt: row.disabledAt?.toISOString() ?? null,
  };
}
