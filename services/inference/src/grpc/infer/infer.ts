import { performance } from 'node:perf_hooks';
import { AppError } from '@millrace/contracts';
import { servedName } from '../../models/served-name.ts';
import type { PredictionService } from '../../predictions/prediction.service.ts';
import { askedOutputs, wantedOutputs } from '../../v2/infer-reply.ts';
import type { RequestedOutput } from '../../v2/infer-request.ts';
import { outputParameters, requestParameters } from '../../v2/infer-request.ts';
import type { Call } from '../transport/call.ts';
import { readInputs } from './infer-inputs.ts';
import type { GrpcInferRequest, GrpcOutput, Parameters } from './infer-request.ts';
import { readInferRequest } from './infer-request.ts';
import { writeInferResponse } from './infer-response.ts';

const NO_PARAMETERS: Parameters = new Map();

function requestedOutput({ name, parameters }: GrpcOutput): RequestedOutput {
  return parameters === undefined ? { name } : { name, ...outputParameters(parameters) };
}

/** The time that is left for a request: of its own `timeout` and of the deadline of the call. */
function deadlineOf(call: Call, own: number | undefined): number | undefined {
  const { timeoutMs } = call;
  if (timeoutMs === undefined) return own;
  const left = timeoutMs - (performance.now() - call.startedAt);
  if (left <= 0)
    throw new AppError('deadline_exceeded', 'The deadline passed before the request came whole.');
  return own === undefined ? left : Math.min(own, left);
}

/** Runs a prediction: the bytes of a ModelInferRequest to those of the answer, its prefix included. */
export type Infer = (bytes: Buffer, call: Call, isStreamed: boolean) => Promise<Buffer>;

/** ModelInfer without the transport, with the rules that HTTP has. */
export function createInfer(service: PredictionService): Infer {
  return async (bytes, call, isStreamed) => {
    const startedAt = performance.now();
    const request: GrpcInferRequest = readInferRequest(bytes);
    if (request.model === '') throw new AppError('invalid_request', 'model_name is empty; name a model.');
    const asked = {
      ...requestParameters(request.parameters ?? NO_PARAMETERS),
      ...(request.outputs.length > 0 && { outputs: request.outputs.map(requestedOutput) }),
    };
    const deadlineMs = deadlineOf(call, asked.deadlineMs);
    const { userId, sessionId } = asked;
    const caller = { ...(userId !== undefined && { userId }), ...(sessionId !== undefined && { sessionId }) };
    const name = servedName(call.principal.tenant, request.model);
    const version = request.version === '' ? undefined : request.version;
    const model = await service.model(name, version, { headers: call.headers, ...caller });
    const inputs = readInputs(bytes, request, model.served.signature);
    // every type has a form here, so no output is refused for its type
    const outputs = wantedOutputs(model, { ...asked, isBinaryOutput: true });
    const answer = await service.predict({
      model,
      inputs,
      startedAt,
      isGone: () => call.isOver(),
      ...caller,
      ...caller,
      ...(outputs !== undefined && { outputs }),
      ...(deadlineMs !== undefined && { deadlineMs }),
      ...(asked.priority !== undefined && { priority: asked.priority }),
    });
    return writeInferResponse(
      { model: model.version.model, ordinal: model.version.ordinal, id: request.id },
      askedOutputs(model, asked, answer.outputs),
      { isRaw: request.raw.length > 0 || asked.isBinaryOutput === true, isStreamed },
    );
  };
}
