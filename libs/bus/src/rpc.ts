import { AppError, appErrorFrom, isAppError } from '@millrace/contracts';
import { toDatabaseError } from '@millrace/database';
import type { Msg, Subscription } from '@nats-io/transport-node';
import { NoRespondersError, RequestError, TimeoutError } from '@nats-io/transport-node';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Bus } from './bus.ts';
import { endSubscription } from './end-subscription.ts';

/** A caller waits this long unless it says otherwise. */
export const RPC_TIMEOUT_MS = 2_000;
/** Requests a service handles at once for each method; more wait in the subscription. */
const MAX_IN_FLIGHT = 256;

export type RpcMethod<Request extends TSchema = TSchema, Reply extends TSchema = TSchema> = {
  readonly request: Request;
  readonly reply: Reply;
};

/** Subject of a method: `millrace.rpc.<service>.<method>`. */
export function rpcSubject(service: string, method: string): string {
  return `millrace.rpc.${service}.${method}`;
}

/**
 * Answers a method for the service's queue group: one replica gets each request. Errors go back as
 * `{error: {code, message}}`.
 */
export function serveRpc<Request extends TSchema, Reply extends TSchema>(
  bus: Bus,
  service: string,
  method: string,
  schema: RpcMethod<Request, Reply>,
  handle: (request: Static<Request>) => Promise<Static<Reply>>,
): { stop(): Promise<void> } {
  const validator = Compile(schema.request);
  const inHand = new Set<Promise<void>>();

  async function answer(message: Msg): Promise<void> {
    try {
      const request = parseRequest(message);
      if (!validator.Check(request)) {
        const [first] = validator.Errors(request);
        throw new AppError(
          'invalid_request',
          `${method}: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
        );
      }
      message.respond(JSON.stringify(await handle(request as Static<Request>)));
    } catch (raw) {
      const error = toDatabaseError(raw);
      if (!isAppError(error))
        bus.logger.error({ service, method, error: String(error) }, 'request/reply method failed');
      const known = isAppError(error)
        ? error
        : new AppError('internal', 'The service failed; its log has the reason.');
      message.respond(JSON.stringify({ error: { code: known.code, message: known.message } }));
    }
  }

  const subscription: Subscription = bus.nc.subscribe(rpcSubject(service, method), { queue: service });
  const loop = (async () => {
    for await (const message of subscription) {
      const work = answer(message).finally(() => inHand.delete(work));
      inHand.add(work);
      if (inHand.size >= MAX_IN_FLIGHT) await Promise.race(inHand);
    }
  })();
  return {
    async stop() {
      await endSubscription(bus, subscription);
      await loop;
      await Promise.allSettled(inHand);
    },
  };
}

/**
 * Asks a service.
 * @throws AppError the other side's own, `dependency_unavailable` when nobody answers in time.
 */
export async function callRpc<Request extends TSchema, Reply extends TSchema>(
  bus: Bus,
  service: string,
  method: string,
  _schema: RpcMethod<Request, Reply>,
  request: Static<Request>,
  options: { timeoutMs?: number } = {},
): Promise<Static<Reply>> {
  let message: Msg;
  try {
    message = await bus.nc.request(rpcSubject(service, method), JSON.stringify(request), {
      timeout: options.timeoutMs ?? RPC_TIMEOUT_MS,
    });
  } catch (cause) {
    const isAway =
      cause instanceof NoRespondersError || cause instanceof TimeoutError || cause instanceof RequestError;
    throw new AppError(
      'dependency_unavailable',
      isAway
        ? `The ${service} service does not answer (${method}).`
        : `NATS could not carry the request to ${service}.`,
      { cause },
    );
  }
  const reply: unknown = message.json();
  if (typeof reply === 'object' && reply !== null && 'error' in reply) {
    throw appErrorFrom(reply.error as { code?: unknown; message?: unknown });
  }
  return reply as Static<Reply>;
}

function parseRequest(message: Msg): unknown {
  try {
    return message.json();
  } catch (cause) {
    throw new AppError('invalid_json', 'The request is not valid JSON.', { cause });
  }
}
