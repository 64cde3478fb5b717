import { authConfig, databaseConfig, natsConfig, s3Config, serviceConfig } from '@millrace/service-kit';
import Type from 'typebox';

/** Everything the datasets service reads from its environment. */
export const ConfigSchema = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  ...s3Config,
  featureCacheMs: Type.Integer({
    env: 'MILLRACE_FEATURE_CACHE_MS',
    default: 1_000,
    minimum: 0,
    maximum: 60_000,
    description:
      'How long a feature value may be served after another replica has written a newer one, should the news of it be lost (ms); 0 keeps none.',
  }),
  featureCacheBytes: Type.Integer({
    env: 'MILLRACE_FEATURE_CACHE_BYTES',
    default: 67_108_864,
    minimum: 0,
    maximum: 17_179_869_184,
    description: 'Memory for feature values; the longest unused go first (bytes).',
  }),
});
