import { AppError, isAppError } from '@millrace/contracts';
import type { InferReply, TensorFormat } from './infer-body.ts';
import { readInferReply, writeInferBody } from './infer-body.ts';
import type { Prediction, PredictRequest } from './shapes.ts';
import type { Tensor } from './tensor.ts';
import type { InputSpec, TensorInput } from './tensor-input.ts';
import { isWhole, toTensor } from './tensor-input.ts';
import type { CallOptions, Transport } from './transport.ts';

/** What a model takes is asked again after this (ms). */
const METADATA_FRESH_MS = 60_000;
/** Models of which it is remembered. */
const METADATA_MAX = 1_000;
/** Errors that a model may answer because what it takes has changed since it was asked. */
const CHANGED: ReadonlySet<string> = new Set([
  'missing_input',
  'extra_input',
  'invalid_shape',
  'invalid_type',
]);

/** How a prediction is asked for. */
export type InferOptions = Pick<CallOptions, 'timeoutMs' | 'signal'> & {
  /** `binary` unless said otherwise. */
  format?: TensorFormat;
  /** 1 is run first. */
  priority?: number;
  /** A request that waits for the model longer is not run (ms). */
  queueTimeoutMs?: number;
  /** Whom the prediction is for: recorded, and what a rollout may divide requests by. */
  userId?: string;
  sessionId?: string;
};
export type PredictOptions = InferOptions & {
  /** Label or ordinal; without it the version that serves by default. */
  version?: string;
  /** Names of the outputs wanted; all without it. */
  outputs?: readonly string[];
};
export type InferRequest = {
  model: string;
  version?: string;
  id?: string;
  inputs: readonly Tensor[];
  outputs?: readonly string[];
};

export type ModelMetadata = {
  name: string;
  versions: string[];
  platform: string;
  inputs: { name: string; datatype: string; shape: number[] }[];
  outputs: { name: string; datatype: string; shape: number[] }[];
};
export type ServerMetadata = { name: string; version: string; extensions: string[] };

/** Predictions, and what there is to know of models that serve. */
export type InferenceClient = ReturnType<typeof createInferenceClient>;

type Remembered = { metadata: Promise<ModelMetadata>; at: number };

function pathOf(model: string, version: string | undefined): string {
  const path = `/v2/models/${encodeURIComponent(model)}`;
  return version === undefined ? path : `${path}/versions/${encodeURIComponent(version)}`;
}

function parametersOf(options: InferOptions): Record<string, number | string> {
  const { priority, queueTimeoutMs, userId, sessionId } = options;
  return {
    ...(userId !== undefined && { user_id: userId }),
    ...(sessionId !== undefined && { session_id: sessionId }),
    ...(priority !== undefined && { priority }),
    ...(queueTimeoutMs !== undefined && { timeout: Math.ceil(queueTimeoutMs * 1_000) }),
  };
}

/** The Open Inference Protocol over HTTP. */
export function createInferenceClient({ call, exchange, probe }: Transport) {
  const remembered = new Map<string, Remembered>();

  const metadata = async (model: string, version?: string): Promise<ModelMetadata> =>
    await call('GET', pathOf(model, version));

  function knownMetadata(model: string, version: string | undefined): Promise<ModelMetadata> {
    const key = pathOf(model, version);
    const held = remembered.get(key);
    if (held !== undefined && Date.now() - held.at < METADATA_FRESH_MS) return held.metadata;
    const asked = metadata(model, version);
    remembered.set(key, { metadata: asked, at: Date.now() });
    if (remembered.size > METADATA_MAX) remembered.delete(remembered.keys().next().value as string);
    asked.catch(() => remembered.delete(key));
    return asked;
  }

  /** @throws AppError the platform's own, or `invalid_type` or `invalid_shape` for a tensor that contradicts itself */
  async function infer(request: InferRequest, options: InferOptions = {}): Promise<InferReply> {
    const { model, version, ...parts } = request;
    const { body, headers } = writeInferBody(
      { ...parts, parameters: parametersOf(options) },
      options.format ?? 'binary',
    );
    const answer = await exchange('POST', `${pathOf(model, version)}/infer`, {
      body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
      headers,
      isRepeatable: true,
      ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    return readInferReply(answer.bytes, answer.headers);
  }

  async function specsOf(
    model: string,
    version: string | undefined,
    inputs: Readonly<Record<string, TensorInput>>,
  ): Promise<ReadonlyMap<string, InputSpec>> {
    if (Object.values(inputs).every(isWhole)) return new Map();
    try {
      return new Map((await knownMetadata(model, version)).inputs.map((spec) => [spec.name, spec]));
    } catch (error) {
      if (!isAppError(error) || error.code !== 'scope_missing') throw error;
      throw new AppError(
        'scope_missing',
        `What ${model} takes can only be asked with the scope models:read; give each input as { datatype, shape, data }.`,
        { cause: error },
      );
    }
  }

  async function predictTensors(
    model: string,
    inputs: Readonly<Record<string, TensorInput>>,
    { version, outputs, ...options }: PredictOptions,
  ): Promise<Record<string, Tensor>> {
    const specs = await specsOf(model, version, inputs);
    const tensors = Object.entries(inputs).map(([name, input]) => {
      const spec = specs.get(name);
      if (spec === undefined && !isWhole(input)) {
        const known = [...specs.keys()].join(', ');
        throw new AppError('extra_input', `Model ${model} has no input "${name}"; it takes ${known}.`);
      }
      return toTensor(spec ?? { name, datatype: '', shape: [] }, input);
    });
    const request = {
      model,
      inputs: tensors,
      ...(version !== undefined && { version }),
      ...(outputs !== undefined && { outputs }),
    };
    const reply = await infer(request, options);
    return Object.fromEntries(reply.outputs.map((tensor) => [tensor.name, tensor]));
  }

  /** The answer in the words of `/predict`: JSON, with the id that feedback needs. */
  function predict(
    request: PredictRequest,
    options?: Pick<CallOptions, 'timeoutMs' | 'signal'>,
  ): Promise<Prediction>;
  /**
   * Asks a model; inputs and outputs by name. Inputs may be typed arrays or nested arrays, which take the type and shape
   * that the model says, or whole tensors. Tensors travel as bytes unless `format` is `json`.
   */
  function predict(
    model: string,
    inputs: Readonly<Record<string, TensorInput>>,
    options?: PredictOptions,
  ): Promise<Record<string, Tensor>>;
  async function predict(
    asked: string | PredictRequest,
    second: Readonly<Record<string, TensorInput>> | CallOptions = {},
    options: PredictOptions = {},
  ): Promise<Prediction | Record<string, Tensor>> {
    if (typeof asked !== 'string') {
      const { timeoutMs, signal } = second as CallOptions;
      return await call<Prediction>('POST', '/predict', {
        body: asked,
        isRepeatable: true,
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(signal !== undefined && { signal }),
      });
    }
    const inputs = second as Readonly<Record<string, TensorInput>>;
    const key = pathOf(asked, options.version);
    const wasRemembered = remembered.has(key);
    try {
      return await predictTensors(asked, inputs, options);
    } catch (error) {
      // another version may serve by now, which takes something else
      if (!wasRemembered || !isAppError(error) || !CHANGED.has(error.code)) throw error;
      remembered.delete(key);
      return await predictTensors(asked, inputs, options);
    }
  }

  return {
    predict,
    infer,
    /** What a model takes and gives; needs the scope `models:read`. */
    modelMetadata: metadata,
    serverMetadata: async () => await call<ServerMetadata>('GET', '/v2'),
    /** Whether the server runs. */
    isLive: async (options: Pick<CallOptions, 'timeoutMs' | 'signal'> = {}) =>
      await probe('/v2/health/live', options),
    /** Whether everything that predictions need answers. */
    isReady: async (options: Pick<CallOptions, 'timeoutMs' | 'signal'> = {}) =>
      await probe('/v2/health/ready', options),
    /** Whether a version can be asked; loads it if need be. */
    isModelReady: async (model: string, version?: string) => await probe(`${pathOf(model, version)}/ready`),
  };
}
