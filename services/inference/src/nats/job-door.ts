import type { Bus, InferLane, Pull } from '@millrace/bus';
import { buryMessage, inferJobSubject, inferLanes, retryDelayMs, startPull } from '@millrace/bus';
import { AppError } from '@millrace/contracts';
import type { Logger } from '@millrace/service-kit';
import { toAppError } from '@millrace/service-kit';
import type { JsMsg } from '@nats-io/jetstream';
import type { BusInfer, BusRequest } from './bus-infer.ts';
import { readBusRequest } from './bus-infer.ts';
import { errorReply, toBusReply } from './bus-reply.ts';
import type { JobMetrics } from './job-metrics.ts';
import type { JobFailure, JobStep } from './job-outcome.ts';
import { outcomeOf } from './job-outcome.ts';
import type { JobAddress } from './job-request.ts';
import { readJobAddress } from './job-request.ts';
import { createLaneSlots } from './lane-slots.ts';
import { publishResult } from './result-publisher.ts';
import type { Door } from './rpc-door.ts';

/** A front that says nothing of a request for so long has lost it; another then gets it (ms). */
const ACK_WAIT_MS = 15_000;
/** Requests in hand over all fronts and replicas, those that wait in their memory included. */
const ACK_PENDING_MAX = 1_024;
/** Deliveries beyond our own count, which decides. */
const DELIVERIES_SPARE = 10;
/** In the queue of a model every request over HTTP or gRPC that names no priority goes first (5). */
const PRIORITY: Readonly<Record<InferLane, number>> = { high: 6, normal: 9 };

export type JobLimits = {
  /** Requests in hand at once, of both lanes together. */
  jobsMax: number;
  /** Deliveries of a request before it is given up. */
  deliveriesMax: number;
  bodyBytesMax: number;
};
export type JobDeps = { bus: Bus; infer: BusInfer; logger: Logger; metrics: JobMetrics };

/** The earlier of the deadline of a request and the end of its `timeout`, which counts from when it was stored. */
function deadlineOf({ deadlineAt, body }: BusRequest, message: JsMsg): number | undefined {
  const { deadlineMs } = body.asked;
  if (deadlineMs === undefined) return deadlineAt;
  return Math.min(deadlineAt ?? Number.POSITIVE_INFINITY, message.time.getTime() + deadlineMs);
}

const durableOf = (lane: InferLane): string => `inference-infer-${lane}`;

/**
 * Answers requests of the stream MILLRACE_INFER: takes them lane by lane, stores the answer, then acknowledges. A front
 * that dies in between costs a second run of what it had in hand and no second answer.
 */
export function openJobDoor(deps: JobDeps, { jobsMax, deliveriesMax, bodyBytesMax }: JobLimits): Door {
  const { bus, infer, logger, metrics } = deps;
  const slots = createLaneSlots(jobsMax);

  async function bury(lane: InferLane, message: JsMsg, error: AppError): Promise<void> {
    await buryMessage(bus, { consumer: durableOf(lane), message, error });
    metrics.count(lane, 'dead');
    logger.error({ err: error, sequence: message.seq }, 'A request was given up; it is in the dead letters.');
  }

  async function fail(
    address: JobAddress,
    message: JsMsg,
    failure: Omit<JobFailure, 'delivery'>,
  ): Promise<void> {
    const { lane } = address;
    const delivery = message.info.deliveryCount;
    const outcome = outcomeOf({ ...failure, delivery }, deliveriesMax);
    if (outcome === 'retry') {
      metrics.count(lane, 'retried');
      return message.nak(retryDelayMs(delivery));
    }
    await publishResult(bus, address, errorReply(failure.error));
    if (outcome === 'dead') return bury(lane, message, failure.error);
    message.ack();
    metrics.count(lane, 'refused');
  }

  async function answer(address: JobAddress, message: JsMsg): Promise<void> {
    const { lane, isRedriven } = address;
    let step: JobStep = 'read';
    let deadlineAt: number | undefined;
    try {
      const request = readBusRequest(message, address.modelId, bodyBytesMax);
      deadlineAt = isRedriven ? undefined : deadlineOf(request, message);
      const read: BusRequest = { ...request, deadlineAt };
      if (deadlineAt !== undefined && Date.now() >= deadlineAt)
        throw new AppError('deadline_exceeded', 'The deadline of the request passed before it was taken.');
      step = 'find';
      const model = await infer.find(read);
      step = 'run';
      const reply = toBusReply(bus, await infer.run(read, model, PRIORITY[lane]));
      await publishResult(bus, address, reply);
      message.ack();
      metrics.count(lane, 'answered');
    } catch (raw) {
      const error = toAppError(raw, bodyBytesMax);
      if (error.code === 'internal') logger.error({ err: error.cause ?? error }, error.message);
      const isLate =
        error.code === 'deadline_exceeded' && deadlineAt !== undefined && Date.now() >= deadlineAt;
      await fail(address, message, { error, step, isLate });
    }
  }

  async function handle(lane: InferLane, message: JsMsg): Promise<void> {
    let address: JobAddress;
    try {
      address = readJobAddress(message, lane);
    } catch (error) {
      return bury(lane, message, toAppError(error, bodyBytesMax));
    }
    if (message.info.deliveryCount <= deliveriesMax) return answer(address, message);
    // taken so often without an answer: whoever took it was ended each time
    const error = new AppError('attempts_exhausted', 'Every process that took the request ended.');
    await fail(address, message, { error, step: 'run', isLate: true });
  }

  async function onMessage(lane: InferLane, message: JsMsg): Promise<void> {
    const working = setInterval(() => message.working(), ACK_WAIT_MS / 3);
    try {
      const release = await slots.take(lane);
      await handle(lane, message).finally(release);
    } catch (error) {
      // NATS is away, or this front is closing: the request is given back, else it comes again by itself
      logger.warn({ err: error, sequence: message.seq }, 'A request was not answered; it comes again.');
      message.nak();
    } finally {
      clearInterval(working);
    }
  }

  const pulls: Pull[] = inferLanes.map((lane) =>
    startPull(
      bus,
      {
        stream: 'inferRequests',
        durable: durableOf(lane),
        filterSubject: inferJobSubject(lane, '*'),
        ackWaitMs: ACK_WAIT_MS,
        maxDeliver: deliveriesMax + DELIVERIES_SPARE,
        maxAckPending: ACK_PENDING_MAX,
      },
      { concurrency: jobsMax, onMessage: (message) => onMessage(lane, message) },
    ),
  );
  return {
    async close() {
      slots.close();
      await Promise.all(pulls.map((pull) => pull.stop()));
    },
  };
}
