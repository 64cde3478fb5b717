import { authConfig, databaseConfig, natsConfig, s3Config, serviceConfig } from '@millrace/service-kit';
import Type from 'typebox';

/** Everything the registry reads from its environment. */
export const ConfigSchema = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  ...s3Config,
  signingKeyFile: Type.String({
    env: 'MILLRACE_SIGNING_KEY_FILE',
    minLength: 1,
    description: 'PEM file of the P-256 private key that signs packages; only the registry has it.',
  }),
});
