import { authConfig, databaseConfig, natsConfig, serviceConfig } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';

const upstream = (name: string) =>
  Type.String({
    env: `MILLRACE_UPSTREAM_${name}`,
    pattern: '^http://[^/]+$',
    description: `Origin of the ${name.toLowerCase().replaceAll('_', '-')} service.`,
  });

/** Everything the gateway reads from its environment. */
export const GatewayConfig = Type.Object({
  ...serviceConfig,
  port: Type.Integer({
    env: 'MILLRACE_PORT',
    default: 9926,
    minimum: 0,
    maximum: 65_535,
    description: 'TCP port of the public door.',
  }),
  ...authConfig,
  authKeyFile: Type.String({
    env: 'MILLRACE_AUTH_KEY_FILE',
    minLength: 1,
    description: 'PEM file of the P-256 private key that signs the key set.',
  }),
  bootstrapTokenFile: Type.Optional(
    Type.String({
      env: 'MILLRACE_BOOTSTRAP_TOKEN_FILE',
      minLength: 1,
      description: 'File with the text of the first admin key, which is made at start.',
    }),
  ),
  oidcIssuersFile: Type.Optional(
    Type.String({
      env: 'MILLRACE_OIDC_ISSUERS_FILE',
      minLength: 1,
      description: 'JSON file with the identity providers whose tokens are accepted; see below.',
    }),
  ),
  ...databaseConfig,
  ...natsConfig,
  datasets: upstream('DATASETS'),
  trainingOrchestrator: upstream('TRAINING_ORCHESTRATOR'),
  converter: upstream('CONVERTER'),
  registry: upstream('REGISTRY'),
  inference: upstream('INFERENCE'),
  monitoring: upstream('MONITORING'),
  ratePerSecond: Type.Integer({
    env: 'MILLRACE_RATE_PER_SECOND',
    default: 2_000,
    minimum: 1,
    description: 'Requests a second that one principal may make; twice as many in a burst.',
  }),
  auditRetentionDays: Type.Integer({
    env: 'MILLRACE_AUDIT_RETENTION_DAYS',
    default: 365,
    minimum: 1,
    maximum: 3_650,
    description: 'Days that rows of the audit log and of the usage are kept.',
  }),
  webhookNetworks: Type.String({
    env: 'MILLRACE_WEBHOOK_NETWORKS',
    default: '',
    pattern: '^[0-9a-fA-F.:/, ]*$',
    description:
      'Private networks that webhooks may reach, such as `127.0.0.0/8,10.0.0.0/8`; public addresses always.',
  }),
  uploadBytesMax: Type.Integer({
    env: 'MILLRACE_UPLOAD_BYTES_MAX',
    default: 4 * 1024 ** 3,
    minimum: 1,
    description: 'Largest upload of a model or dataset in bytes.',
  }),
  predictBytesMax: Type.Integer({
    env: 'MILLRACE_PREDICT_BYTES_MAX',
    default: 64 * 1024 ** 2,
    minimum: 1,
    description: 'Largest body of a prediction in bytes.',
  }),
});
export type GatewayConfig = Readonly<Static<typeof GatewayConfig>>;
