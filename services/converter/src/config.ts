import { authConfig, databaseConfig, natsConfig, s3Config, serviceConfig } from '@millrace/service-kit';
import Type from 'typebox';

/** Everything the converter reads from its environment. */
export const ConfigSchema = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  ...s3Config,
});
