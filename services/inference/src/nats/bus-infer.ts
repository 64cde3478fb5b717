import { INFER_HEADER } from '@millrace/bus';
import { AppError } from '@millrace/contracts';
import type { MsgHdrs } from '@nats-io/transport-node';
import { Match } from '@nats-io/transport-node';
import type { LoadedModel } from '../models/model-store.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import type { Caller } from '../rollouts/router.ts';
import type { InferBody } from '../v2/infer-body.ts';
import { readInferBody } from '../v2/infer-body.ts';
import type { InferReply } from '../v2/infer-reply.ts';
import { askedOutputs, wantedOutputs, writeReply } from '../v2/infer-reply.ts';
import type { ModelFinder } from './model-finder.ts';

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const PRIORITY = /^\d{1,10}$/;

/** A message as both doors get it. */
export type BusMessage = { readonly data: Uint8Array; readonly headers?: MsgHdrs | undefined };

/** A request that was read, for a model that is still to be found. */
export type BusRequest = {
  readonly modelId: string;
  readonly body: InferBody;
  /** When it was read (`performance.now()`). */
  readonly startedAt: number;
  /** Of `millrace-deadline` (ms since 1970). */
  readonly deadlineAt: number | undefined;
  readonly priority: number | undefined;
  /** Who asks, for rollouts. */
  readonly caller: Caller;
};

/** Value of a header in any case; undefined when it is not there. */
export function headerOf(message: BusMessage, name: string): string | undefined {
  const value = message.headers?.get(name, Match.IgnoreCase);
  return value === undefined || value === '' ? undefined : value;
}

/** The instant of `millrace-deadline` (ms since 1970). Throws `invalid_request`. */
function deadlineOf(message: BusMessage): number | undefined {
  const text = headerOf(message, INFER_HEADER.deadline);
  if (text === undefined) return undefined;
  const at = INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw new AppError(
    'invalid_request',
    `${INFER_HEADER.deadline} must be an instant such as 2026-11-21T14:00:00.250Z.`,
  );
}

function priorityOf(message: BusMessage): number | undefined {
  const text = headerOf(message, INFER_HEADER.priority);
  if (text === undefined || PRIORITY.test(text)) return text === undefined ? undefined : Number(text);
  throw new AppError('invalid_request', `${INFER_HEADER.priority} must be a whole number; 1 is run first.`);
}

function callerOf(message: BusMessage, { asked }: InferBody): Caller {
  const { userId, sessionId } = asked;
  const headers = [...(message.headers ?? [])].map(([name, values]) => [name.toLowerCase(), values] as const);
  return {
    headers: Object.fromEntries(headers),
    ...(userId !== undefined && { userId }),
    ...(sessionId !== undefined && { sessionId }),
  };
}

/** Reads a request. Throws `payload_too_large` and what readInferBody throws. */
export function readBusRequest(message: BusMessage, modelId: string, bodyBytesMax: number): BusRequest {
  const startedAt = performance.now();
  const { data } = message;
  if (data.length > bodyBytesMax)
    throw new AppError('payload_too_large', `The request is over the bound of ${bodyBytesMax} bytes.`);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const body = readInferBody(bytes, headerOf(message, INFER_HEADER.jsonBytes), true);
  return {
    modelId,
    startedAt,
    body,
    caller: callerOf(message, body),
    deadlineAt: deadlineOf(message),
    priority: priorityOf(message),
  };
}

/** Requests over the bus, answered by the rules that HTTP has. */
export type BusInfer = {
  /** Loads the model if need be. Throws what ModelFinder throws. */
  find(request: BusRequest): Promise<LoadedModel>;
  /** Throws `deadline_exceeded` and what PredictionService.predict throws. */
  run(request: BusRequest, model: LoadedModel, priority?: number): Promise<InferReply>;
};

/** The time that is left of the deadlines of a request (ms); undefined when it has none. */
function timeLeft({ deadlineAt, body }: BusRequest): number | undefined {
  const own = body.asked.deadlineMs;
  if (deadlineAt === undefined) return own;
  const left = deadlineAt - Date.now();
  if (left <= 0)
    throw new AppError('deadline_exceeded', 'The deadline passed before the request could be run.');
  return own === undefined ? left : Math.min(own, left);
}

export function createBusInfer(
  service: PredictionService,
  find: ModelFinder,
  limits: { elementsMax: number },
): BusInfer {
  const reading = { ...limits, take: (bytes: number) => new ArrayBuffer(bytes) };
  return {
    find: ({ modelId, body, caller }) => find(modelId, body.asked.version, caller),
    async run(request, model, lanePriority) {
      const { asked } = request.body;
      const deadlineMs = timeLeft(request);
      const priority = lanePriority ?? request.priority ?? asked.priority;
      const inputs = request.body.readTensors(model.served.signature, reading);
      const outputs = wantedOutputs(model, asked);
      const { userId, sessionId } = asked;
      const answer = await service.predict({
        model,
        inputs,
        startedAt: request.startedAt,
        ...(userId !== undefined && { userId }),
        ...(sessionId !== undefined && { sessionId }),
        ...(outputs !== undefined && { outputs }),
        ...(deadlineMs !== undefined && { deadlineMs }),
        ...(priority !== undefined && { priority }),
      });
      return writeReply(model.version, asked, askedOutputs(model, asked, answer.outputs));
    },
  };
}
