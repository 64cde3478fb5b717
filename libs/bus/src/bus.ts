import { AppError } from '@millrace/contracts';
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';
import type { BusLogger } from './logger.ts';

/** Time between attempts to reach a NATS server that is away. */
const RECONNECT_WAIT_MS = 500;
/** A server that does not answer this many pings, PING_INTERVAL_MS apart, counts as away. */
const MAX_PINGS_OUT = 3;
const PING_INTERVAL_MS = 10_000;
const JETSTREAM_TIMEOUT_MS = 5_000;

export type BusOptions = {
  /** `nats://user:password@host:port`, or several separated by commas. */
  url: string;
  /** Shown by the server's monitoring. */
  name: string;
  /** Private prefix for replies, so that no other user can read them. */
  inboxPrefix?: string;
  logger: BusLogger;
};

/** A connection that heals itself: publishing during an outage waits or fails, consumers resume. */
export type Bus = {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly name: string;
  readonly logger: BusLogger;
  isConnected(): boolean;
  /** Resolves when JetStream answers; throws `dependency_unavailable` otherwise. */
  ping(): Promise<void>;
  /** Ends subscriptions after the messages in hand, then closes. */
  close(): Promise<void>;
};

function parseServers(url: string): { servers: string[]; user?: string; pass?: string } {
  const parts = url.split(',').map((part) => new URL(part.trim()));
  const [first] = parts;
  const credentials =
    first !== undefined && first.username !== ''
      ? { user: decodeURIComponent(first.username), pass: decodeURIComponent(first.password) }
      : {};
  return { servers: parts.map((part) => part.host), ...credentials };
}

/**
 * Connects to NATS and keeps trying, at start as well.
 * @throws AppError `dependency_unavailable` when JetStream is not there.
 */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const { logger } = options;
  const nc = await connect({
    ...parseServers(options.url),
    name: options.name,
    inboxPrefix: options.inboxPrefix ?? '_INBOX',
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: 100,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: MAX_PINGS_OUT,
  });
  let connected = true;
  void (async () => {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') {
        connected = false;
        logger.warn({ server: nc.getServer() }, 'NATS is away; reconnecting');
      } else if (status.type === 'reconnect') {
        connected = true;
        logger.info({ server: nc.getServer() }, 'NATS is back');
      } else if (status.type === 'error') {
        logger.warn({ error: status.error.message }, 'NATS reported an error');
      }
    }
  })();
  const js = jetstream(nc, { timeout: JETSTREAM_TIMEOUT_MS });
  const jsm = await jetstreamManager(nc, { timeout: JETSTREAM_TIMEOUT_MS, checkAPI: false });
  return {
    nc,
    js,
    jsm,
    name: options.name,
    logger,
    isConnected: () => connected && !nc.isClosed(),
    async ping() {
      if (!connected)
        throw new AppError(
          'dependency_unavailable',
          'NATS is away; check MILLRACE_NATS_URL and that it runs.',
        );
      try {
        await jsm.getAccountInfo();
      } catch (cause) {
        throw new AppError('dependency_unavailable', 'JetStream does not answer.', { cause });
      }
    },
    async close() {
      if (nc.isClosed()) return;
      // drain waits for the server; a server that is away must not hold up a shutdown
      if (connected)
        await Promise.race([nc.drain(), new Promise((resolve) => setTimeout(resolve, 3_000).unref())]);
      await nc.close();
    },
  };
}
