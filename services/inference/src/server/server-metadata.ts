import { AppError, isAppError } from '@millrace/contracts';
import type { ReadinessChecks } from '@millrace/service-kit';
import { servedNameOf } from '../models/served-name.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import { protocolName } from '../tensors/dtype.ts';
import type { TensorSpec } from '../tensors/tensor.ts';
import { platformOf } from './model-views.ts';
import type { ServerControl } from './server-control.ts';

/** What metadata calls the server. */
export const SERVER_NAME = 'millrace';
export const SERVER_VERSION = '0.0.0';

/** The extensions of the protocol that are offered. */
export const EXTENSIONS: readonly string[] = [
  'classification',
  'model_repository',
  'schedule_policy',
  'model_configuration',
  'binary_tensor_data',
  'statistics',
];

/** An input or output as metadata describes it; a free dimension is -1. */
export type TensorMetadata = {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
};

/** Metadata of a version; `versions` are the ordinals of the model that are ready. */
export type ModelMetadata = {
  readonly name: string;
  readonly versions: string[];
  readonly platform: string;
  readonly inputs: TensorMetadata[];
  readonly outputs: TensorMetadata[];
};

function describe(spec: TensorSpec): TensorMetadata {
  return { name: spec.name, datatype: protocolName(spec.dtype), shape: spec.shape.map((size) => size ?? -1) };
}

/** Loads the version if need be and describes it, by its served name. Throws what a prediction throws. */
export async function modelMetadata(
  service: PredictionService,
  control: ServerControl,
  name: string,
  label: string | undefined,
): Promise<ModelMetadata> {
  const model = await service.described(name, label);
  const { version, served } = model;
  const ready = (await control.index()).filter(
    (entry) => entry.state === 'READY' && entry.name === servedNameOf(version),
  );
  const ordinals = new Set([String(version.ordinal), ...ready.map((entry) => entry.version)]);
  return {
    name: version.model,
    versions: [...ordinals].sort((a, b) => Number(a) - Number(b)),
    platform: platformOf(model),
    inputs: served.signature.inputs.map(describe),
    outputs: served.signature.outputs.map(describe),
  };
}

/** What `ready` answers for a version that cannot be loaded; one that is unknown or not to be served stays so. */
export function notReady(error: unknown): unknown {
  if (!isAppError(error) || error.status < 405) return error;
  return new AppError('model_not_ready', `The version is not ready: ${error.message}`, { cause: error });
}

/** Whether everything that serving needs answers. */
export async function isServerReady(readiness: ReadinessChecks): Promise<boolean> {
  const checks = await Promise.allSettled(Object.values(readiness).map((check) => check()));
  return checks.every(({ status }) => status === 'fulfilled');
}
