import type { Bus } from '@millrace/bus';
import { serveRpc } from '@millrace/bus';
import type { KeySet, Logger } from '@millrace/service-kit';
import {
  KEY_SET_CHANGED_SUBJECT,
  KEY_SET_REFRESH_MS,
  KeySetQuestion,
  NoNewKeys,
  SignedKeySet,
  signKeySet,
} from '@millrace/service-kit';
import Type from 'typebox';

export type KeySetPublisher = {
  /** Takes the keys from the database into this process and tells the others to ask for them. */
  publish(): Promise<void>;
  /** Takes the keys from the database into this process. */
  reload(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Answers `millrace.rpc.gateway.key-set` with the signed set and keeps this process' own copy: at once after a change
 * here or in another gateway, and every 30 s in any case.
 */
export function startKeySetPublisher(deps: {
  bus: Bus;
  keySet: () => Promise<KeySet>;
  /** Fetches the keys of an identity provider anew, when another service was shown one that it does not know. */
  seek: (issuer: string) => Promise<void>;
  /** Whether any of these is the id of a key that may be used now. */
  isValidKey: (keyIds: readonly string[]) => Promise<boolean>;
  own: { replace(keySet: KeySet): void };
  privateKeyPem: string;
  logger: Logger;
}): KeySetPublisher {
  const { bus, own, logger } = deps;
  let asked = 0;
  let taken = 0;
  const reload = async (): Promise<void> => {
    asked += 1;
    const turn = asked;
    try {
      const keySet = await deps.keySet();
      // of two that were read at once the later one may have come first
      if (turn < taken) return;
      taken = turn;
      own.replace(keySet);
    } catch (error) {
      logger.warn({ err: error }, 'The keys could not be read; the last ones stay in use.');
    }
  };
  const rpc = serveRpc(
    bus,
    'gateway',
    'key-set',
    { request: KeySetQuestion, reply: Type.Union([NoNewKeys, SignedKeySet]) },
    async ({ seek, keys }) => {
      if (seek !== undefined) await deps.seek(seek);
      if (keys !== undefined && !(await deps.isValidKey(keys))) return { known: false as const };
      return signKeySet(await deps.keySet(), deps.privateKeyPem);
    },
  );
  const hints = bus.nc.subscribe(KEY_SET_CHANGED_SUBJECT, { callback: () => void reload() });
  const timer = setInterval(() => void reload(), KEY_SET_REFRESH_MS);
  timer.unref();
  return {
    reload,
    async publish() {
      await reload();
      bus.nc.publish(KEY_SET_CHANGED_SUBJECT);
    },
    async stop() {
      clearInterval(timer);
      hints.unsubscribe();
      await rpc.stop();
    },
  };
}
