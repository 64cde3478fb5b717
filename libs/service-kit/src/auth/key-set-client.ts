import Value from 'typebox/value';
import type { Logger } from '../logger.ts';
import { createKeySeeker } from './key-seeker.ts';
import type { KeyRecord, KeySet, KeySetQuestion } from './key-set.ts';
import { NoNewKeys, verifyKeySet } from './key-set.ts';
import type { Trust } from './trust.ts';
import { noTrust, trustOf } from './trust.ts';

/** Where the auth plugin looks keys up. */
export type KeySetSource = {
  /** False until the first verified key set came; until then nobody can be told apart. */
  isReady(): boolean;
  find(keyId: string): KeyRecord | undefined;
  /** Whose tokens are accepted. */
  trust(): Trust;
  /**
   * Looks for an API key that is not here; undefined where that is no use, since it was asked about lately or the asking
   * has no bound left. Never rejects.
   */
  seekKey(keyId: string): Promise<void> | undefined;
  /** Looks for keys of an identity provider that are newer than those here; never throws, and not every call asks. */
  seek(issuer: string): Promise<void>;
};

export type KeySetClient = KeySetSource & {
  /** Asks for the set now; true when a newer or equal one was taken over. Never throws. */
  refresh(): Promise<boolean>;
  close(): void;
};

/** Request/reply method of the gateway that answers with the signed key set. */
export const KEY_SET_SUBJECT = 'millrace.rpc.gateway.key-set';
/** Hint (core NATS) that a key was made or revoked; the set is then asked for at once. */
export const KEY_SET_CHANGED_SUBJECT = 'millrace.ctl.key-set.changed';
/** How often the set is asked for when no hint comes: the longest a revoked key lives when hints are lost. */
export const KEY_SET_REFRESH_MS = 30_000;
const FIRST_RETRY_MS = 500;
/** Newer keys of identity providers are asked for no more often: anybody can send a token that names an unknown one. */
const SEEK_INTERVAL_MS = 2_000;

/** A key set held in memory, for the gateway itself and for tests. */
export function createKeySetHolder(): KeySetSource & { replace(keySet: KeySet): void } {
  let records: ReadonlyMap<string, KeyRecord> | undefined;
  let trust = noTrust;
  return {
    isReady: () => records !== undefined,
    find: (keyId) => records?.get(keyId),
    trust: () => trust,
    seekKey: () => undefined,
    seek: async () => undefined,
    replace: (keySet) => {
      records = new Map(keySet.keys.map((key) => [key.id, key]));
      trust = trustOf(keySet.identities, trust);
    },
  };
}

/**
 * Keeps a verified copy of the gateway's key set. `fetch` asks for it (over NATS), saying what is looked for, if anything
 * is; a question for keys that the gateway does not know either may be answered with NO_NEW_KEYS. `onChanged` may subscribe to the hint. The last good set stays in use when the gateway does not answer; an older or badly signed one is refused.
 */
export function createKeySetClient(options: {
  publicKeyPem: string;
  fetch: (question: KeySetQuestion) => Promise<unknown>;
  onChanged?: (refresh: () => void) => void;
  refreshMs?: number;
  logger: Logger;
}): KeySetClient {
  const holder = createKeySetHolder();
  const refreshMs = options.refreshMs ?? KEY_SET_REFRESH_MS;
  let issuedAt = '';
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  let seeking: Promise<unknown> | undefined;
  let soughtAtMs = Number.NEGATIVE_INFINITY;

  async function refresh(question: KeySetQuestion = {}): Promise<boolean> {
    try {
      const answer = await options.fetch(question);
      if (question.keys !== undefined && Value.Check(NoNewKeys, answer)) return false;
      const keySet = verifyKeySet(answer, options.publicKeyPem);
      if (Date.parse(keySet.issuedAt) < Date.parse(issuedAt)) return false;
      issuedAt = keySet.issuedAt;
      holder.replace(keySet);
      return true;
    } catch (error) {
      const message = 'The key set could not be refreshed; the last good one stays in use.';
      options.logger[holder.isReady() ? 'warn' : 'debug']({ err: error }, message);
      return false;
    }
  }

  async function loop(): Promise<void> {
    await refresh();
    if (isClosed) return;
    timer = setTimeout(() => void loop(), holder.isReady() ? refreshMs : Math.min(FIRST_RETRY_MS, refreshMs));
    timer.unref();
  }

  const seeker = createKeySeeker({
    ask: (keys) => refresh({ keys: [...keys] }),
    isReady: holder.isReady,
    isKnown: (keyId) => holder.find(keyId) !== undefined,
  });

  void loop();
  options.onChanged?.(() => void refresh());
  return {
    isReady: holder.isReady,
    find: holder.find,
    trust: holder.trust,
    seekKey: seeker.seek,
    async seek(issuer) {
      if (seeking === undefined) {
        if (performance.now() - soughtAtMs < SEEK_INTERVAL_MS) return;
        soughtAtMs = performance.now();
        seeking = refresh({ seek: issuer }).finally(() => {
          seeking = undefined;
        });
      }
      await seeking;
    },
    refresh: () => refresh(),
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
