import type { ConsumerConfig, ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { AckPolicy, DeliverPolicy, JetStreamApiError, ReplayPolicy } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { Bus } from './bus.ts';
import type { StreamKey } from './streams.ts';
import { streamCatalog } from './streams.ts';

const RETRY_MS = 500;
/** A subscription without messages, while messages wait, is made again after this long. */
const STALL_MS = 60_000;

export type DurableSpec = {
  stream: StreamKey;
  durable: string;
  filterSubject: string;
  ackWaitMs: number;
  maxDeliver: number;
  maxAckPending: number;
  /** `new` starts at the end of the stream; default `all`. */
  deliver?: 'all' | 'new';
};

/** Makes a durable consumer, or updates the bounds of one that exists. */
export async function ensureDurable(bus: Bus, spec: DurableSpec): Promise<void> {
  const stream = streamCatalog[spec.stream].name;
  const config: Partial<ConsumerConfig> = {
    durable_name: spec.durable,
    filter_subject: spec.filterSubject,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: spec.deliver === 'new' ? DeliverPolicy.New : DeliverPolicy.All,
    replay_policy: ReplayPolicy.Instant,
    ack_wait: nanos(spec.ackWaitMs),
    max_deliver: spec.maxDeliver,
    max_ack_pending: spec.maxAckPending,
  };
  try {
    await bus.jsm.consumers.info(stream, spec.durable);
    await bus.jsm.consumers.update(stream, spec.durable, {
      ack_wait: nanos(spec.ackWaitMs),
      max_deliver: spec.maxDeliver,
      max_ack_pending: spec.maxAckPending,
    });
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.status !== 404) throw error;
    await bus.jsm.consumers.add(stream, config);
  }
}

export type Pull = {
  /** Stops taking messages and waits for those in hand. */
  stop(): Promise<void>;
};

/**
 * Pulls messages of a durable and hands each to `onMessage`, at most `concurrency` at once. Survives server restarts,
 * a deleted consumer (it is made again) and silent stalls.
 */
export function startPull(
  bus: Bus,
  spec: DurableSpec,
  options: { concurrency: number; onMessage: (message: JsMsg) => Promise<void> },
): Pull {
  const stream = streamCatalog[spec.stream].name;
  const inHand = new Set<Promise<void>>();
  let isStopping = false;
  let messages: ConsumerMessages | undefined;
  let lastMessageAt = Date.now();
  let wakeRetry: (() => void) | undefined;

  async function consumeOnce(): Promise<void> {
    await ensureDurable(bus, spec);
    const consumer = await bus.js.consumers.get(stream, spec.durable);
    messages = await consumer.consume({ max_messages: Math.max(1, options.concurrency) });
    lastMessageAt = Date.now();
    for await (const message of messages) {
      lastMessageAt = Date.now();
      const work = options.onMessage(message).finally(() => inHand.delete(work));
      inHand.add(work);
      if (inHand.size >= options.concurrency) await Promise.race(inHand);
      if (isStopping) break;
    }
  }

  const watchdog = setInterval(() => {
    if (isStopping || !bus.isConnected() || inHand.size > 0 || Date.now() - lastMessageAt < STALL_MS) return;
    lastMessageAt = Date.now();
    void bus.jsm.consumers.info(stream, spec.durable).then(
      (info) => {
        if (info.num_pending === 0) return;
        bus.logger.warn(
          { durable: spec.durable, pending: info.num_pending },
          'consumer stalled; subscribing again',
        );
        messages?.stop();
      },
      () => messages?.stop(),
    );
  }, STALL_MS / 2);
  watchdog.unref();

  const loop = (async () => {
    while (!isStopping) {
      try {
        await consumeOnce();
      } catch (error) {
        if (!isStopping)
          bus.logger.warn(
            { durable: spec.durable, error: String(error) },
            'consumer interrupted; trying again',
          );
      }
      if (isStopping) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, RETRY_MS);
        wakeRetry = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  })();

  return {
    async stop() {
      isStopping = true;
      clearInterval(watchdog);
      messages?.stop();
      wakeRetry?.();
      await Promise.race([loop, new Promise((resolve) => setTimeout(resolve, 3_000).unref())]);
      await Promise.allSettled(inHand);
    },
  };
}
