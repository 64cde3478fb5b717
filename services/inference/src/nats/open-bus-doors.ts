import type { Bus } from '@millrace/bus';
import { callRpc } from '@millrace/bus';
import { resolveVersionMethod } from '@millrace/contracts';
import type { Logger, Metrics } from '@millrace/service-kit';
import type { InferenceConfig } from '../config.ts';
import type { LoadedModel } from '../models/model-store.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import { createBusInfer } from './bus-infer.ts';
import { openJobDoor } from './job-door.ts';
import { createJobMetrics } from './job-metrics.ts';
import { createModelFinder } from './model-finder.ts';
import type { Door } from './rpc-door.ts';
import { openRpcDoor } from './rpc-door.ts';

/** A value in JSON takes at least two bytes (a digit and a comma), which bounds the elements of one input. */
const BYTES_PER_VALUE = 2;

export type BusDoorDeps = {
  bus: Bus;
  logger: Logger;
  metrics: Metrics;
  predictions: PredictionService;
  /** Models in memory. */
  loaded: () => readonly LoadedModel[];
};

/** Answers inference requests over NATS: at once by request/reply, later from the stream. */
export function openBusDoors(deps: BusDoorDeps, config: InferenceConfig, fronts: number): Door {
  const { bus, logger, metrics, predictions } = deps;
  const { bodyBytesMax } = config;
  const find = createModelFinder(predictions, deps.loaded, (request) =>
    callRpc(bus, 'registry', 'resolve', resolveVersionMethod, request),
  );
  const elementsMax = Math.ceil(bodyBytesMax / BYTES_PER_VALUE);
  const infer = createBusInfer(predictions, find, { elementsMax });
  const share = (bound: number): number => Math.ceil(bound / fronts);
  const doors = [
    openRpcDoor(
      { bus, infer, logger },
      {
        requestsMax: share(config.busRequestsMax),
        bytesMax: share(config.queueBytesMax),
        bodyBytesMax,
      },
    ),
    openJobDoor(
      { bus, infer, logger, metrics: createJobMetrics(metrics) },
      { jobsMax: share(config.jobsMax), deliveriesMax: config.jobDeliveriesMax, bodyBytesMax },
    ),
  ];
  return {
    async close() {
      await Promise.all(doors.map((door) => door.close()));
    },
  };
}
