import type { Bus, Outbox } from '@millrace/bus';
import type { TenantQuota } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { KeySet, KeySetSource, Logger } from '@millrace/service-kit';
import {
  createKeySeeker,
  createKeySetHolder,
  DISABLED_PRINCIPALS_MAX,
  TENANTS_MAX,
} from '@millrace/service-kit';
import { createIdentityFacts } from './identity-facts.ts';
import type { KeyService } from './keys/key.service.ts';
import { createKeyService } from './keys/key.service.ts';
import { startKeySetPublisher } from './keys/key-set.publisher.ts';
import type { Issuer } from './oidc/issuer-config.ts';
import type { IssuerKeys } from './oidc/issuer-keys.ts';
import { createIssuerKeys } from './oidc/issuer-keys.ts';
import { createPrincipalRepository } from './principals/principal.repository.ts';
import type { PrincipalService } from './principals/principal.service.ts';
import { createPrincipalService } from './principals/principal.service.ts';
import { createTenantRepository } from './tenants/tenant.repository.ts';
import type { TenantService } from './tenants/tenant.service.ts';
import { createTenantService } from './tenants/tenant.service.ts';
import type { TenantLimits } from './tenants/tenant.table.ts';

/** The bounds of a tenant that services keep to; nothing where there are none. */
function quotaIn(id: string, limits: TenantLimits): [string, TenantQuota][] {
  const { requestsPerSecond: _, concurrentRequests: __, ...quota } = limits;
  return Object.keys(quota).length === 0 ? [] : [[id, quota]];
}

/** Everything about who may do what, and its publication to the other services. */
export type Identity = {
  readonly keys: KeyService;
  readonly principals: PrincipalService;
  readonly tenants: TenantService;
  readonly issuerKeys: IssuerKeys;
  /** What this process itself checks requests by. */
  readonly keySet: KeySetSource;
  /** Bounds of a tenant, as of the last change. */
  limitsOf(tenant: string): TenantLimits | undefined;
  /** Takes what changed into this process and tells the others. */
  publish(): Promise<void>;
  stop(): Promise<void>;
};

export type IdentityDeps = {
  database: Database;
  bus: Bus;
  outbox: Outbox;
  privateKeyPem: string;
  logger: Logger;
  issuers: readonly Issuer[];
  /** Least time between two fetches of a provider's keys that unknown keys ask for (ms). */
  seekIntervalMs?: number;
};

/** Starts the services of keys, principals and tenants with the publisher of the signed key set. */
export function startIdentity(deps: IdentityDeps): Identity {
  const { database, bus, outbox, privateKeyPem, logger, issuers, seekIntervalMs } = deps;
  const own = createKeySetHolder();
  const onChanged = async (): Promise<void> => await publisher.publish();
  const changed = { database, facts: createIdentityFacts(outbox), onChanged };
  const keys = createKeyService(changed);
  const principals = createPrincipalService(changed);
  const tenants = createTenantService(changed);
  const issuerKeys = createIssuerKeys({
    issuers,
    logger,
    onChanged,
    ...(seekIntervalMs !== undefined && { seekIntervalMs }),
  });
  let limits: ReadonlyMap<string, TenantLimits> = new Map();
  async function keySet(): Promise<KeySet> {
    // taken before the rows are read: a set that is read later is never the older one
    const issuedAt = new Date().toISOString();
    const rows = await createTenantRepository(database.db).all(TENANTS_MAX);
    limits = new Map(rows.map((row) => [row.id, row.limits]));
    return {
      issuedAt,
      keys: await keys.activeKeys(),
      identities: {
        tenants: rows.filter(({ disabledAt }) => disabledAt === null).map(({ id }) => id),
        disabled: await createPrincipalRepository(database.db).disabledOfIssuers(DISABLED_PRINCIPALS_MAX),
        issuers: issuerKeys.records(),
        quotas: Object.fromEntries(rows.flatMap(({ id, limits: own }) => quotaIn(id, own))),
      },
    };
  }
  async function seek(issuer: string): Promise<void> {
    if (await issuerKeys.seek(issuer)) await publisher.publish();
  }
  const publisher = startKeySetPublisher({
    bus,
    keySet,
    seek,
    isValidKey: keys.anyValid,
    own,
    privateKeyPem,
    logger,
  });
  // a key that another gateway made a moment ago
  const seeker = createKeySeeker({
    ask: async (ids) => {
      try {
        if (await keys.anyValid(ids)) await publisher.reload();
      } catch (error) {
        logger.warn({ err: error }, 'A key that is not known here could not be looked for.');
      }
    },
    isReady: own.isReady,
    isKnown: (id) => own.find(id) !== undefined,
  });
  return {
    keys,
    principals,
    tenants,
    issuerKeys,
    limitsOf: (tenant) => limits.get(tenant),
    keySet: { ...own, seek, seekKey: seeker.seek },
    publish: publisher.publish,
    async stop() {
      issuerKeys.stop();
      await publisher.stop();
    },
  };
}
