import { LiveStage, Policy, PolicySpec, Sha256 } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp, Principal } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionService } from '../versions/version.service.ts';
import type { GovernanceRepository } from './governance.repository.ts';
import type { AllowedDigestRow } from './governance.table.ts';
import type { GovernanceScope, PolicyService } from './policy.service.ts';
import { wholePolicy } from './policy.ts';

const COMMENT_LENGTH_MAX = 2_000;
const read = { scope: 'models:read' } as const;
const admin = { scope: 'admin' } as const;
const tags = ['governance'];

const PolicyView = Type.Object({
  policy: Policy,
  source: Type.Union([Type.Literal('model'), Type.Literal('tenant'), Type.Literal('none')]),
});
const AllowedDigest = Type.Object({
  stage: LiveStage,
  digest: Sha256,
  comment: Type.String(),
  allowedBy: Type.String(),
  allowedAt: Type.String(),
});
const Entry = { stage: LiveStage, digest: Sha256 };
/** Only paths of a model have a name. */
const Params = Type.Object({ name: Type.Optional(Type.String()) });
const EntryParams = Type.Object({ ...Params.properties, ...Entry });

export type PolicyRoutesOptions = {
  database: Database;
  versions: VersionService;
  governance: GovernanceRepository;
  policies: PolicyService;
};

/** Policies and allow-lists, of one model under its name and of the tenant under /v1/governance. */
export function policyRoutes(options: PolicyRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, versions, governance, policies } = options;

  async function scopeOf(principal: Principal, name: string | undefined): Promise<GovernanceScope> {
    const { tenant } = principal;
    return name === undefined ? { tenant } : { tenant, model: await versions.model(tenant, name) };
  }

  async function policyView({ tenant, model }: GovernanceScope) {
    if (model !== undefined) return governance.policyOf(database.db, model);
    const policy = (await governance.tenant(database.db, tenant))?.policy ?? null;
    return { policy: wholePolicy(policy), source: policy === null ? ('none' as const) : ('tenant' as const) };
  }

  return async function registerPolicyRoutes(app) {
    for (const [prefix, what] of [
      ['/v1/models/:name', 'Model'],
      ['/v1/governance', 'Tenant'],
    ] as const) {
      app.get(
        `${prefix}/policy`,
        {
          config: read,
          schema: { operationId: `get${what}Policy`, tags, params: Params, response: { 200: PolicyView } },
        },
        async ({ principal, params }) => policyView(await scopeOf(principal, params.name)),
      );

      app.put(
        `${prefix}/policy`,
        {
          config: admin,
          schema: {
            operationId: `set${what}Policy`,
            tags,
            params: Params,
            body: PolicySpec,
            response: { 200: PolicyView },
          },
        },
        async ({ principal, params, body }) => {
          const scope = await scopeOf(principal, params.name);
          await policies.setPolicy(scope, body, principal.id);
          return policyView(scope);
        },
      );

      app.delete(
        `${prefix}/policy`,
        {
          config: admin,
          schema: { operationId: `remove${what}Policy`, tags, params: Params, response: { 200: PolicyView } },
        },
        async ({ principal, params }) => {
          const scope = await scopeOf(principal, params.name);
          await policies.setPolicy(scope, null, principal.id);
          return policyView(scope);
        },
      );

      app.get(
        `${prefix}/allow-list`,
        {
          config: read,
          schema: {
            operationId: `get${what}AllowList`,
            tags,
            params: Params,
            querystring: Type.Object({ ...pageQuery, stage: LiveStage }, { additionalProperties: false }),
            response: { 200: pageOf(AllowedDigest) },
          },
        },
        async ({ principal, params, query }) => {
          const { tenant, model } = await scopeOf(principal, params.name);
          const chainId = model?.id ?? (await governance.tenant(database.db, tenant))?.chainId;
          const after = decodeCursor(Type.Object({ digest: Type.String() }), query.cursor);
          const rows =
            chainId === undefined
              ? []
              : await governance.allowed(database.db, chainId, {
                  limit: query.limit + 1,
                  stage: query.stage,
                  ...(after !== undefined && { afterDigest: after.digest }),
                });
          return toPage(rows, query.limit, ({ digest }) => ({ digest }), toAllowedDigest);
        },
      );

      app.put(
        `${prefix}/allow-list/:stage/:digest`,
        {
          config: admin,
          schema: {
            operationId: `allow${what}Digest`,
            tags,
            params: EntryParams,
            body: Type.Object(
              { comment: Type.Optional(Type.String({ maxLength: COMMENT_LENGTH_MAX })) },
              { additionalProperties: false },
            ),
            response: { 200: Type.Object(Entry), 201: Type.Object(Entry) },
          },
        },
        async ({ principal, params: { name, stage, digest }, body }, reply) => {
          const scope = await scopeOf(principal, name);
          const change = { stage, digest, comment: body.comment ?? '' };
          const isNew = await policies.allow(scope, change, principal.id);
          return reply.status(isNew ? 201 : 200).send({ stage, digest });
        },
      );

      app.delete(
        `${prefix}/allow-list/:stage/:digest`,
        {
          config: admin,
          schema: {
            operationId: `disallow${what}Digest`,
            tags,
            params: EntryParams,
            response: { 204: Type.Null() },
          },
        },
        async ({ principal, params: { name, stage, digest } }, reply) => {
          await policies.disallow(await scopeOf(principal, name), { stage, digest }, principal.id);
          return reply.status(204).send(null);
        },
      );
    }
  };
}

function toAllowedDigest({ stage, digest, comment, allowedBy, allowedAt }: AllowedDigestRow) {
  return { stage, digest, comment, allowedBy, allowedAt: allowedAt.toISOString() };
}
