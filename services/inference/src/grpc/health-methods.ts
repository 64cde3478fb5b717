import { AppError } from '@millrace/contracts';
import type { ReadinessChecks } from '@millrace/service-kit';
import { isServerReady } from '../server/server-metadata.ts';
import { Health, HealthCheckResponse_ServingStatus as Status } from './generated/grpc/health/v1/health_pb.ts';
import { GRPCInferenceService } from './generated/inference/v2/grpc_inference_service_pb.ts';
import { pathOf, readMessage, unaryMethod, writeMessage } from './protobuf-method.ts';
import type { Call } from './transport/call.ts';
import type { Method } from './transport/grpc-server.ts';
import { plainBytes } from './transport/message-reader.ts';

/** How often the state is looked at while somebody watches it (ms). */
const WATCH_MS = 2_000;
/** Watching calls at once; more are refused. */
const WATCHERS_MAX = 256;
const SERVICES = ['', GRPCInferenceService.typeName, Health.typeName];

export type HealthMethods = {
  readonly methods: [path: string, method: Method][];
  /** Tells those who watch that the server stops, and ends their calls. */
  close(): void;
};

/** `grpc.health.v1.Health`: readiness for probes and load balancers. */
export function healthMethods(readiness: ReadinessChecks, messageBytesMax: number): HealthMethods {
  const watchers = new Map<Call, { sent: Status | undefined; isKnown: boolean }>();
  let isClosing = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;

  async function status(): Promise<Status> {
    if (isClosing) return Status.NOT_SERVING;
    return (await isServerReady(readiness)) ? Status.SERVING : Status.NOT_SERVING;
  }

  function tell(now: Status): void {
    for (const [call, watcher] of watchers) {
      const next = watcher.isKnown ? now : Status.SERVICE_UNKNOWN;
      if (watcher.sent === next) continue;
      watcher.sent = next;
      call.write(writeMessage(Health.method.watch.output, { status: next }));
    }
  }

  async function look(): Promise<void> {
    looking ??= status()
      .then(tell)
      .finally(() => {
        looking = undefined;
      });
    await looking;
    if (watchers.size === 0 || isClosing) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      void look();
    }, WATCH_MS).unref();
  }

  async function watch(call: Call, bytes: Promise<Buffer>): Promise<void> {
    const { service } = readMessage(Health.method.watch.input, await bytes);
    if (watchers.size >= WATCHERS_MAX)
      throw new AppError('queue_full', `${WATCHERS_MAX} calls watch already; use Check.`);
    watchers.set(call, { sent: undefined, isKnown: SERVICES.includes(service) });
    await look();
  }

  const check = unaryMethod(Health.method.check, 'public', async ({ service }) => {
    if (SERVICES.includes(service)) return { status: await status() };
    throw new AppError('service_not_found', `There is no service "${service.slice(0, 100)}" here.`);
  });
  const watching: Method = {
    kind: 'stream',
    scope: 'public',
    open: (call, fail) => ({
      onMessage(message) {
        const bytes = plainBytes(message, call.headers['grpc-encoding'], messageBytesMax);
        watch(call, bytes)
          .catch(fail)
          .finally(() => message.release());
      },
      onEnd: () => undefined,
      onClose: () => watchers.delete(call),
    }),
  };
  return {
    methods: [check, [pathOf(Health.method.watch), watching]],
    close() {
      isClosing = true;
      clearTimeout(timer);
      tell(Status.NOT_SERVING);
      for (const call of watchers.keys()) call.end();
    },
  };
}
