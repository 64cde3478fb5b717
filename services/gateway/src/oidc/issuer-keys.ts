import { isDeepStrictEqual } from 'node:util';
import type { IssuerKey, IssuerRecord, Logger } from '@millrace/service-kit';
import { fetchKeys } from './fetch-keys.ts';
import type { Issuer } from './issuer-config.ts';

/** Keys are fetched this often when nobody asks for others (ms). */
const REFRESH_MS = 10 * 60_000;
/** A fetch that failed is tried again after this (ms). */
const RETRY_MS = 30_000;
/** Least time between two fetches that unknown keys ask for (ms). */
const SEEK_INTERVAL_MS = 10_000;

/** How it stands with the keys of a provider. */
export type IssuerState = {
  readonly issuer: Issuer;
  readonly keys: readonly IssuerKey[];
  /** When the keys were last fetched; null: never. */
  readonly fetchedAt: Date | null;
  /** Why the last fetch failed; null when it did not. */
  readonly fault: string | null;
};

export type IssuerKeys = {
  /** The providers with the keys that are held now. */
  records(): IssuerRecord[];
  states(): readonly IssuerState[];
  /** Fetches the keys of a provider anew unless that was done a moment ago; true when they changed. Never throws. */
  seek(issuer: string): Promise<boolean>;
  /** Fetches the keys of all providers for the first time. */
  start(): Promise<void>;
  stop(): void;
};

/** Keeps the keys of all providers; those that are held stay in use while a provider is away. */
export function createIssuerKeys(options: {
  issuers: readonly Issuer[];
  logger: Logger;
  onChanged: () => Promise<void>;
  seekIntervalMs?: number;
}): IssuerKeys {
  const { logger, onChanged, seekIntervalMs = SEEK_INTERVAL_MS } = options;
  const held = options.issuers.map((issuer) => createHolding(issuer, logger));
  const timers = new Set<NodeJS.Timeout>();

  async function refresh(holding: Holding): Promise<void> {
    if (await holding.fetch()) await onChanged();
    schedule(holding);
  }

  function schedule(holding: Holding): void {
    const waitMs = (holding.state().fault === null ? REFRESH_MS : RETRY_MS) * (0.9 + Math.random() / 5);
    const timer = setTimeout(() => {
      timers.delete(timer);
      void refresh(holding);
    }, waitMs).unref();
    timers.add(timer);
  }

  return {
    records: () =>
      held.map((holding) => {
        const { issuer, keys } = holding.state();
        const { jwksUrl: _, ...record } = issuer;
        return { ...record, keys: [...keys] };
      }),
    states: () => held.map((holding) => holding.state()),
    async seek(name) {
      const holding = held.find((one) => one.state().issuer.issuer === name);
      return holding !== undefined && (await holding.fetch(seekIntervalMs));
    },
    async start() {
      await Promise.all(
        held.map(async (holding) => {
          await holding.fetch();
          schedule(holding);
        }),
      );
    },
    stop() {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

type Holding = {
  state(): IssuerState;
  /** One fetch at a time, and none when the last began less than `leastMs` ago; true when the keys changed. */
  fetch(leastMs?: number): Promise<boolean>;
};

function createHolding(issuer: Issuer, logger: Logger): Holding {
  let state: IssuerState = { issuer, keys: [], fetchedAt: null, fault: null };
  let running: Promise<boolean> | undefined;
  let beganAtMs = Number.NEGATIVE_INFINITY;

  async function run(): Promise<boolean> {
    try {
      const keys = await fetchKeys(issuer);
      const isChanged = !isDeepStrictEqual(keys, state.keys);
      state = { issuer, keys, fetchedAt: new Date(), fault: null };
      const about = { issuer: issuer.issuer, keys: keys.map(({ kid }) => kid) };
      if (isChanged) logger.info(about, 'The identity provider has new keys.');
      return isChanged;
    } catch (error) {
      state = { ...state, fault: reasonOf(error) };
      logger.warn(
        { issuer: issuer.issuer, reason: state.fault, keys: state.keys.length, fetchedAt: state.fetchedAt },
        'The keys of an identity provider could not be fetched; those that are held stay in use.',
      );
      return false;
    }
  }

  return {
    state: () => state,
    async fetch(leastMs = 0) {
      if (running === undefined) {
        if (performance.now() - beganAtMs < leastMs) return false;
        beganAtMs = performance.now();
        running = run().finally(() => {
          running = undefined;
        });
      }
      return await running;
    },
  };
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? `${message} (${code})` : message;
}
