import { setTimeout } from 'node:timers/promises';

/** The gateway is asked about unknown keys no more often: anybody can send a key that nobody has. */
const ASK_INTERVAL_MS = 250;
/** A key that the gateway did not know is refused for this long without asking again. */
const UNKNOWN_MS = 10_000;
/** Keys that are remembered as unknown; the one asked about longest ago is forgotten first. */
const UNKNOWN_MAX = 10_000;
/** Different keys in one question; those over it are refused unasked. */
const ASKED_AT_ONCE_MAX = 500;

/** Asks about keys that are not in the key set: one made a moment ago may not have come here yet. */
export type KeySeeker = {
  /** Resolves when the gateway was asked; undefined where there is no asking. Never rejects. */
  seek(keyId: string): Promise<void> | undefined;
};

/** `ask` asks the gateway about some keys and takes over what it says; it must not reject. `isKnown` tells of now. */
export function createKeySeeker(deps: {
  ask(keyIds: readonly string[]): Promise<unknown>;
  isReady(): boolean;
  isKnown(keyId: string): boolean;
}): KeySeeker {
  const unknown = new Map<string, number>();
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let inHand: Promise<unknown> = Promise.resolve();
  /** The question that is still to be asked: whoever comes until then shares it. */
  let next: { readonly keyIds: Set<string>; readonly asked: Promise<void> } | undefined;

  function remember(keyId: string): void {
    unknown.delete(keyId);
    unknown.set(keyId, performance.now() + UNKNOWN_MS);
    if (unknown.size > UNKNOWN_MAX) unknown.delete(unknown.keys().next().value as string);
  }

  async function askAbout(keyIds: Set<string>): Promise<void> {
    await inHand;
    const waitMs = ASK_INTERVAL_MS - (performance.now() - askedAtMs);
    if (waitMs > 0) await setTimeout(waitMs);
    next = undefined;
    askedAtMs = performance.now();
    inHand = deps.ask([...keyIds]);
    await inHand;
    if (!deps.isReady()) return;
    for (const keyId of keyIds) if (!deps.isKnown(keyId)) remember(keyId);
  }

  return {
    seek(keyId) {
      if ((unknown.get(keyId) ?? 0) > performance.now()) return undefined;
      if (next === undefined) {
        const keyIds = new Set<string>();
        next = { keyIds, asked: askAbout(keyIds) };
      }
      const { keyIds, asked } = next;
      if (keyIds.size >= ASKED_AT_ONCE_MAX && !keyIds.has(keyId)) return undefined;
      keyIds.add(keyId);
      return asked;
    },
  };
}
