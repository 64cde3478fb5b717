import type { Subscription } from '@nats-io/transport-node';
import type { Bus } from './bus.ts';

/** A server that stands still never confirms the end of a subscription, and must not hold up a shutdown (ms). */
const DRAIN_TIMEOUT_MS = 1_000;

/** Ends a subscription after the messages that NATS has sent already; gives up waiting for NATS after 1 s. */
export async function endSubscription(bus: Bus, subscription: Subscription): Promise<void> {
  if (subscription.isClosed()) return;
  const late = new Promise((resolve) => setTimeout(resolve, DRAIN_TIMEOUT_MS).unref());
  if (bus.isConnected()) await Promise.race([subscription.drain().catch(() => undefined), late]);
  if (!subscription.isClosed()) subscription.unsubscribe();
}
