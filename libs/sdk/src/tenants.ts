import type { TenantQuota, TenantUsage } from '@millrace/contracts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Bounds of a tenant; what is absent has none. */
export type TenantLimits = TenantQuota & {
  readonly requestsPerSecond?: number;
  readonly concurrentRequests?: number;
};

/** Whose data is kept apart from others'. */
export type TenantView = {
  readonly id: string;
  readonly note: string;
  readonly limits: TenantLimits;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly disabledAt: string | null;
};

type Counts = { readonly requests: number; readonly predictions: number; readonly refused: number };

/** What a tenant uses. */
export type TenantUsageView = {
  readonly tenant: string;
  readonly limits: TenantLimits;
  readonly concurrentRequests: number;
  readonly principals: number;
  readonly keys: number;
  /** What services keep for it; what one of them could not tell is absent. */
  readonly kept: TenantUsage;
  /** Services that did not answer. */
  readonly unavailable: readonly string[];
  readonly lastDay: Counts;
  readonly last30Days: Counts;
};

/** Tenants, their bounds and what they use. */
export function createTenantsClient({ call }: Transport) {
  const one = (id: string) => `/v1/tenants/${encodeURIComponent(id)}`;
  return {
    create: async (tenant: { id: string; note?: string; limits?: TenantLimits }) =>
      await call<TenantView>('POST', '/v1/tenants', { body: tenant }),
    list: async (query: PageQuery = {}) => await call<Page<TenantView>>('GET', '/v1/tenants', { query }),
    get: async (id: string) => await call<TenantView>('GET', one(id)),
    /** `limits` replaces all bounds. */
    change: async (id: string, change: { note?: string; limits?: TenantLimits; disabled?: boolean }) =>
      await call<TenantView>('PATCH', one(id), { body: change }),
    usage: async (id: string) => await call<TenantUsageView>('GET', `${one(id)}/usage`),
  };
}

/** A row of the gateway's log: who did what. */
export type AuditEntry = Readonly<
  Record<
    | 'at'
    | 'kind'
    | 'principal'
    | 'tenant'
    | 'method'
    | 'route'
    | 'resource'
    | 'requestId'
    | 'remoteAddress'
    | 'prevHash'
    | 'hash',
    string
  >
> & { readonly seq: number; readonly status: number; readonly code: string | null };

/** Who did what in a tenant, newest first, and the check of the chain by the gateway. */
export function createAuditClient({ call }: Transport) {
  return {
    list: async (query: PageQuery & { tenant?: string; principal?: string; kind?: string } = {}) =>
      await call<Page<AuditEntry>>('GET', '/v1/audit', { query }),
    verify: async (query: { tenant?: string } = {}) =>
      await call<{ verified: true; length: number; removed: number; head: string }>(
        'GET',
        '/v1/audit/verify',
        { query },
      ),
  };
}
