import { authConfig, databaseConfig, natsConfig, serviceConfig } from '@millrace/service-kit';
import Type from 'typebox';

/** Everything the training-orchestrator reads from its environment. */
export const ConfigSchema = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  jobLeaseMs: Type.Integer({
    env: 'MILLRACE_JOB_LEASE_MS',
    default: 30_000,
    minimum: 1_000,
    maximum: 600_000,
    description: 'A claim that is not renewed for this long may be taken by another worker (ms).',
  }),
  jobStallTimeoutMs: Type.Integer({
    env: 'MILLRACE_JOB_STALL_TIMEOUT_MS',
    default: 300_000,
    minimum: 1_000,
    description: 'A training without a step for this long is stopped (ms).',
  }),
});
