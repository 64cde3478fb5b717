import { Sha256, Timestamp } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import { TenantId } from '../tenants/tenant.routes.ts';
import { tenantFor } from '../tenants/tenant-access.ts';
import { createAuditRepository } from './audit.repository.ts';
import type { AuditRow } from './audit.table.ts';
import type { AuditWriter } from './audit.writer.ts';
import { auditKinds } from './audit-entry.ts';

const Entry = Type.Object({
  seq: Type.Integer(),
  at: Timestamp,
  kind: Type.String(),
  principal: Type.String(),
  tenant: Type.String(),
  method: Type.String(),
  route: Type.String(),
  resource: Type.String({ description: 'Path of the request, without its query.' }),
  status: Type.Integer(),
  code: Type.Union([Type.String(), Type.Null()]),
  requestId: Type.String(),
  remoteAddress: Type.String(),
  prevHash: Sha256,
  hash: Sha256,
});
const Chain = Type.Object({
  verified: Type.Literal(true),
  length: Type.Integer(),
  removed: Type.Integer({ description: 'Rows that the retention took from the beginning.' }),
  head: Sha256,
});
const config = { scope: 'admin' } as const;
const tags = ['audit'];

/** Who did what in the caller's tenant, and the check that nothing of it was changed. */
export function auditRoutes(deps: {
  database: Database;
  audit: AuditWriter;
}): (app: HttpApp) => Promise<void> {
  const { database, audit } = deps;
  return async function registerAuditRoutes(app) {
    app.get(
      '/v1/audit',
      {
        config,
        schema: {
          operationId: 'listAudit',
          tags,
          querystring: Type.Object(
            {
              ...pageQuery,
              tenant: Type.Optional(TenantId),
              principal: Type.Optional(Type.String({ maxLength: 255 })),
              kind: Type.Optional(Type.Enum([...auditKinds])),
              method: Type.Optional(Type.Enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])),
              since: Type.Optional(Timestamp),
              until: Type.Optional(Timestamp),
            },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(Entry) },
        },
      },
      async (request) => {
        const { limit, cursor, tenant: wanted, since, until, principal, kind, method } = request.query;
        const tenant = tenantFor(request.principal, wanted);
        const after = decodeCursor(Type.Object({ seq: Type.Integer() }), cursor);
        // what passed through a moment ago is part of the answer
        await audit.flush();
        const rows = await createAuditRepository(database.db).list({
          tenant,
          limit: limit + 1,
          ...(after !== undefined && { beforeSeq: after.seq }),
          ...(principal !== undefined && { principal }),
          ...(kind !== undefined && { kind }),
          ...(method !== undefined && { method }),
          ...(since !== undefined && { since: new Date(since) }),
          ...(until !== undefined && { until: new Date(until) }),
        });
        return toPage(rows, limit, ({ seq }) => ({ seq }), toView);
      },
    );
    app.get(
      '/v1/audit/verify',
      {
        config,
        schema: {
          operationId: 'verifyAudit',
          tags,
          querystring: Type.Object({ tenant: Type.Optional(TenantId) }, { additionalProperties: false }),
          response: { 200: Chain },
        },
      },
      async (request) => {
        const tenant = tenantFor(request.principal, request.query.tenant);
        return { verified: true as const, ...(await createAuditRepository(database.db).verify(tenant)) };
      },
    );
  };
}

function toView(row: AuditRow) {
  return { ...row, at: row.at.toISOString() };
}
