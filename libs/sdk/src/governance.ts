import type { LiveStage, Policy, PolicySpec } from '@millrace/contracts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Approvals of a version for a stage. */
export type Approvals = {
  readonly model: string;
  readonly version: string;
  readonly packageDigest: string;
  readonly stage: LiveStage;
  readonly required: number;
  readonly missing: number;
  readonly policy: Policy;
  readonly items: readonly {
    readonly principal: string;
    readonly comment: string;
    readonly approvedAt: string;
    readonly counts: boolean;
  }[];
};

/** Whether a digest is approved; `bundle` is the signed statement of the same, which is what to trust. */
export type ApprovalReply = {
  readonly digest: string;
  readonly stage: LiveStage;
  readonly approved: boolean;
  readonly issuedAt: string;
  readonly models: readonly Readonly<Record<string, unknown>>[];
  readonly bundle: Readonly<Record<string, unknown>>;
};

/** The policy in force, and where it was set. */
export type PolicyView = { readonly policy: Policy; readonly source: 'model' | 'tenant' | 'none' };

/** A history: of a model that is or was there, or (model null) of the tenant. */
export type HistoryChain = {
  readonly chainId: string;
  readonly model: string | null;
  readonly deletedAt: string | null;
};

/** A row of a history. */
export type HistoryRow = {
  readonly seq: number;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly prevHash: string;
  readonly hash: string;
};

/** The last row of a history; `bundle` is the signed statement of the same. */
export type SignedHead = {
  readonly chainId: string;
  readonly model: string | null;
  readonly seq: number;
  readonly head: string;
  readonly issuedAt: string;
  readonly bundle: Readonly<Record<string, unknown>>;
};

/** A version that was in production at a time. */
export type PastProduction = {
  readonly model: string;
  readonly version: string;
  readonly modelVersionId: string;
  readonly packageDigest: string | null;
  readonly since: string;
  readonly by: string;
  readonly approvedBy: readonly string[];
};

/** Approvals, policies and histories. */
export function createGovernanceClient({ call }: Transport) {
  const model = (name: string) => `/v1/models/${encodeURIComponent(name)}`;
  const approvals = (name: string, label: string) =>
    `${model(name)}/versions/${encodeURIComponent(label)}/approvals`;
  const history = (chainId: string) => `/v1/governance/histories/${encodeURIComponent(chainId)}`;
  return {
    approvals: async (name: string, label: string, stage: LiveStage) =>
      await call<Approvals>('GET', approvals(name, label), { query: { stage } }),
    /** The same approval again changes nothing. */
    approve: async (name: string, label: string, approval: { stage: LiveStage; comment?: string }) =>
      await call<Approvals>('POST', approvals(name, label), { body: approval, isRepeatable: true }),
    /** Takes back one's own approval. */
    revokeApproval: async (name: string, label: string, stage: LiveStage) =>
      await call<Approvals>('DELETE', `${approvals(name, label)}/${stage}`),
    isApproved: async (digest: string, query: { stage?: LiveStage; model?: string } = {}) =>
      await call<ApprovalReply>('GET', `/v1/approvals/${encodeURIComponent(digest)}`, { query }),
    policy: async (name: string) => await call<PolicyView>('GET', `${model(name)}/policy`),
    setPolicy: async (name: string, policy: PolicySpec) =>
      await call<PolicyView>('PUT', `${model(name)}/policy`, { body: policy, isRepeatable: true }),
    histories: async (query: PageQuery = {}) =>
      await call<Page<HistoryChain>>('GET', '/v1/governance/histories', { query }),
    history: async (chainId: string, query: PageQuery = {}) =>
      await call<Page<HistoryRow>>('GET', history(chainId), { query }),
    historyHead: async (chainId: string) => await call<SignedHead>('GET', `${history(chainId)}/head`),
    /** What was in production at a time (ISO 8601). */
    productionAt: async (at: string, query: PageQuery = {}) =>
      await call<Page<PastProduction>>('GET', '/v1/governance/state', { query: { ...query, at } }),
  };
}
