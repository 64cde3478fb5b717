import { readFileSync } from 'node:fs';
import type { Bus } from '@millrace/bus';
import type { Logger } from '../logger.ts';
import type { Auth, AuthMode } from './auth.ts';
import { createAuth } from './auth.ts';
import { createKeySetClient, KEY_SET_CHANGED_SUBJECT, KEY_SET_SUBJECT } from './key-set-client.ts';

const KEY_SET_TIMEOUT_MS = 2_000;
/** As long as the gateway may take to fetch the keys of an identity provider, and a little more. */
const KEY_SET_SEEK_TIMEOUT_MS = 5_000;

/** Checks of API keys by the key set that the gateway publishes; asks for it over the bus and hears of changes. */
export function connectAuth(
  bus: Bus,
  config: { readonly authMode: AuthMode; readonly authPublicKeyFile: string },
  logger: Logger,
): { auth: Auth; close(): void } {
  const keySet = createKeySetClient({
    publicKeyPem: readFileSync(config.authPublicKeyFile, 'utf8'),
    fetch: async (question) => {
      const timeout = question.seek === undefined ? KEY_SET_TIMEOUT_MS : KEY_SET_SEEK_TIMEOUT_MS;
      return (await bus.nc.request(KEY_SET_SUBJECT, JSON.stringify(question), { timeout })).json();
    },
    onChanged: (refresh) => bus.nc.subscribe(KEY_SET_CHANGED_SUBJECT, { callback: refresh }),
    logger,
  });
  return { auth: createAuth({ mode: config.authMode, keySet, logger }), close: () => keySet.close() };
}
