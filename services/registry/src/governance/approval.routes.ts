import { AppError, JsonObject, LiveStage, Policy, Sha256 } from '@millrace/contracts';
import type { HttpApp, Principal } from '@millrace/service-kit';
import Type from 'typebox';
import type { FoundVersion, VersionService } from '../versions/version.service.ts';
import type { ApprovalService } from './approval.service.ts';
import type { ApprovalProver } from './approval-proof.ts';

const COMMENT_LENGTH_MAX = 2_000;
const PATH = '/v1/models/:name/versions/:version/approvals';
const VersionParams = Type.Object({ name: Type.String(), version: Type.String() });
const tags = ['governance'];

const ApprovalsView = Type.Object({
  model: Type.String(),
  version: Type.String(),
  packageDigest: Sha256,
  stage: LiveStage,
  required: Type.Integer({ description: 'Approvals that policy demands for the stage.' }),
  missing: Type.Integer(),
  policy: Policy,
  items: Type.Array(
    Type.Object({
      principal: Type.String(),
      comment: Type.String(),
      approvedAt: Type.String(),
      counts: Type.Boolean({ description: 'False for the approval of who registered the bytes.' }),
    }),
  ),
});

const Answer = Type.Object({
  digest: Sha256,
  stage: LiveStage,
  approved: Type.Boolean({ description: 'By every model of the tenant that has the digest.' }),
  issuedAt: Type.String(),
  models: Type.Array(JsonObject),
  bundle: JsonObject,
});

export type ApprovalRoutesOptions = {
  versions: VersionService;
  approvalService: ApprovalService;
  approvalProver: ApprovalProver;
};

/** Approvals of a version: give, take back, list; and the signed answer whether a digest is approved. */
export function approvalRoutes(options: ApprovalRoutesOptions): (app: HttpApp) => Promise<void> {
  const { versions, approvalService, approvalProver } = options;

  async function view(found: FoundVersion, stage: LiveStage) {
    const { required, given, counted, policy } = await approvalService.standing(found, stage);
    return {
      model: found.model.name,
      version: found.version.label,
      packageDigest: found.version.packageDigest,
      stage,
      required,
      missing: Math.max(0, required - counted.length),
      policy,
      items: given.map((approval) => ({
        principal: approval.principal,
        comment: approval.comment,
        approvedAt: approval.approvedAt.toISOString(),
        counts: counted.includes(approval),
      })),
    };
  }

  return async function registerApprovalRoutes(app) {
    app.get(
      PATH,
      {
        config: { scope: 'models:read' },
        schema: {
          operationId: 'listApprovals',
          tags,
          params: VersionParams,
          querystring: Type.Object({ stage: Type.Optional(LiveStage) }, { additionalProperties: false }),
          response: { 200: ApprovalsView },
        },
      },
      async ({ principal, params, query }) =>
        view(await versions.find(principal.tenant, params.name, params.version), query.stage ?? 'production'),
    );

    app.get(
      '/v1/approvals/:digest',
      {
        config: { scope: 'models:read' },
        schema: {
          operationId: 'getApproval',
          tags,
          params: Type.Object({ digest: Sha256 }),
          querystring: Type.Object(
            {
              stage: Type.Optional(LiveStage),
              model: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
            },
            { additionalProperties: false },
          ),
          response: { 200: Answer },
        },
      },
      async ({ principal, params, query }) => {
        const { answer, bundle } = await approvalProver.prove(principal.tenant, {
          digest: params.digest,
          stage: query.stage ?? 'production',
          model: query.model,
        });
        const { models, ...rest } = answer;
        return {
          ...rest,
          stage: query.stage ?? 'production',
          models: models.map((model) => ({ ...model })),
          bundle: bundle as unknown as Record<string, unknown>,
        };
      },
    );

    app.post(
      PATH,
      {
        config: { scope: 'models:approve' },
        schema: {
          operationId: 'approveModelVersion',
          tags,
          params: VersionParams,
          body: Type.Object(
            {
              stage: LiveStage,
              comment: Type.Optional(Type.String({ maxLength: COMMENT_LENGTH_MAX })),
            },
            { additionalProperties: false },
          ),
          response: { 200: ApprovalsView, 201: ApprovalsView },
        },
      },
      async ({ principal, params, body }, reply) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        const { isNew } = await approvalService.approve(found, body.stage, body.comment ?? '', principal.id);
        return reply.status(isNew ? 201 : 200).send(await view(found, body.stage));
      },
    );

    app.delete(
      `${PATH}/:stage`,
      {
        config: { scope: 'models:approve' },
        schema: {
          operationId: 'revokeApproval',
          tags,
          params: Type.Object({ ...VersionParams.properties, stage: LiveStage }),
          querystring: Type.Object(
            {
              principal: Type.Optional(
                Type.String({ maxLength: 255, description: 'Whose; default: your own. Others need admin.' }),
              ),
            },
            { additionalProperties: false },
          ),
          response: { 200: ApprovalsView },
        },
      },
      async ({ principal, params, query }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        const whose = query.principal ?? principal.id;
        assertMayRevoke(principal, whose);
        await approvalService.revoke(found, params.stage, whose, principal.id);
        return view(found, params.stage);
      },
    );
  };
}

function assertMayRevoke(principal: Principal, whose: string): void {
  if (whose === principal.id || principal.scopes.includes('admin')) return;
  throw new AppError(
    'scope_missing',
    "Only who has the scope 'admin' takes back the approval of somebody else.",
  );
}
