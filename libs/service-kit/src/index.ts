export { apiKeyId, apiKeySha256, createApiKey } from './auth/api-key.ts';
export type { Auth, AuthMode, Credentials } from './auth/auth.ts';
export { createAuth, localPrincipal } from './auth/auth.ts';
export { connectAuth } from './auth/connect-auth.ts';
export type { IssuerKey } from './auth/identities.ts';
export {
  CLOCK_SKEW_SECONDS_MAX,
  ClaimMapping,
  DISABLED_PRINCIPALS_MAX,
  ISSUER_KEYS_MAX,
  ISSUERS_MAX,
  IssuerRecord,
  TENANTS_MAX,
  tokenAlgorithms,
} from './auth/identities.ts';
export { createKeySeeker } from './auth/key-seeker.ts';
export {
  KEY_SET_KEYS_MAX,
  KeyRecord,
  KeySet,
  KeySetQuestion,
  NoNewKeys,
  SignedKeySet,
  signKeySet,
  verifyKeySet,
} from './auth/key-set.ts';
export type { KeySetClient, KeySetSource } from './auth/key-set-client.ts';
export {
  createKeySetClient,
  createKeySetHolder,
  KEY_SET_CHANGED_SUBJECT,
  KEY_SET_REFRESH_MS,
  KEY_SET_SUBJECT,
} from './auth/key-set-client.ts';
export { isLoopbackAddress, isLoopbackBinding, isLoopbackHost, isLoopbackOrigin } from './auth/loopback.ts';
export type { QuotaOf } from './auth/quota.ts';
export { assertQuota } from './auth/quota.ts';
export type { Role } from './auth/roles.ts';
export { boundedScopes, isRole, roleNames, roles, scopesOfRoles } from './auth/roles.ts';
export type { Principal, Scope } from './auth/scopes.ts';
export { isScope, PLATFORM_TENANT, scopes } from './auth/scopes.ts';
export { inCallSpan } from './call-span.ts';
export type { LoadedConfig } from './config/config.ts';
export { ConfigError, configTable, EXIT_CONFIG, loadConfig } from './config/config.ts';
export { authConfig, databaseConfig, natsConfig, s3Config, serviceConfig } from './config/config-parts.ts';
export type { BodyMemory } from './express/body-memory.ts';
export { freePiece, takeAligned } from './express/body-memory.ts';
export type { ExpressRequest, ExpressRoute } from './express/express-lane.ts';
export type { ExpressReply } from './express/reply-head.ts';
export { anonymousPrincipal } from './http/auth-hook.ts';
export type { HttpApp, HttpOptions } from './http/create-http.ts';
export { BODY_LIMIT_BYTES, createHttp, KEEP_ALIVE_TIMEOUT_MS } from './http/create-http.ts';
export type { ReadinessChecks } from './http/health.ts';
export { Readiness } from './http/health.ts';
export { assertSafeBinding, listenHttp } from './http/listen.ts';
export { answerMlflowError } from './http/mlflow-error.ts';
export {
  PROBLEM_CONTENT_TYPE,
  Problem,
  problemReply,
  retryAfterSeconds,
  toAppError,
  toProblem,
} from './http/problem.ts';
export { answerProtocolError, protocolRefusal } from './http/protocol-error.ts';
export { compileSchemas } from './http/route-schemas.ts';
export type { Logger } from './logger.ts';
export { createLogger, redactSecrets } from './logger.ts';
export type { Metrics, MetricsSnapshot } from './metrics.ts';
export { createMetrics, mergeMetrics, SECONDS_BUCKETS, snapshotMetrics } from './metrics.ts';
export {
  decodeCursor,
  encodeCursor,
  PAGE_LIMIT_DEFAULT,
  PAGE_LIMIT_MAX,
  pageOf,
  pageQuery,
  toPage,
} from './page.ts';
export type { Platform, PlatformOptions, Servers, ServersOptions } from './platform.ts';
export { connectPlatform, connectServers } from './platform.ts';
export type { Running } from './run-service.ts';
export { exitOnConfigError, runService } from './run-service.ts';
export type { Series } from './series.ts';
export type { ServiceBase, ServiceOptions, ServiceParts } from './start-service.ts';
export { startService } from './start-service.ts';
export type { Tracing } from './tracing.ts';
export { startTracing } from './tracing.ts';
