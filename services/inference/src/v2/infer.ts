import type { BodyMemory, ExpressReply, Principal } from '@millrace/service-kit';
import { serverTiming } from '../http/server-timing.ts';
import { servedName } from '../models/served-name.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import { codingFor, compress, decodeBody } from './content-coding.ts';
import { readInferBody } from './infer-body.ts';
import type { InferReply } from './infer-reply.ts';
import { askedOutputs, wantedOutputs, writeReply } from './infer-reply.ts';

export const HEADER_LENGTH = 'inference-header-content-length';

/** A request of the protocol whose body is there. */
export type InferCall = {
  readonly principal: Pick<Principal, 'tenant'>;
  readonly model: string;
  readonly version: string | undefined;
  readonly body: Buffer;
  readonly memory: BodyMemory;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Whether the caller went away. */
  isGone(): boolean;
};

export type InferLimits = { bodyBytesMax: number; elementsMax: number };

async function toHttp(
  written: InferReply,
  accept: string | undefined,
  timing: string,
): Promise<ExpressReply> {
  const headers = ['content-type', written.contentType, 'server-timing', timing];
  if (written.jsonBytes !== undefined) headers.push(HEADER_LENGTH, String(written.jsonBytes));
  const coding = codingFor(written, accept);
  const zipped = coding === undefined ? undefined : await compress(written.body, coding);
  if (zipped === undefined) return { status: 200, headers, body: written.body };
  headers.push('content-encoding', coding as string, 'vary', 'accept-encoding');
  return { status: 200, headers, body: zipped };
}

/**
 * Answers an inference request: JSON, JSON followed by binary tensors, or nothing but the bytes of one tensor. Throws what
 * the readers of bodies and tensors and the prediction service throw.
 */
export function createInfer(
  service: PredictionService,
  limits: InferLimits,
): (call: InferCall) => Promise<ExpressReply> {
  return async ({ principal, model: asName, version, body: sent, memory, headers, isGone }) => {
    const startedAt = performance.now();
    const name = servedName(principal.tenant, asName);
    const encoding = headers['content-encoding'] as string | undefined;
    const body = encoding === undefined ? sent : await decodeBody(sent, encoding, limits.bodyBytesMax);
    const parts = readInferBody(body, headers[HEADER_LENGTH]);
    const { asked } = parts;
    const { userId, sessionId, deadlineMs, priority } = asked;
    const model =
      service.ready(name, version) ?? (await service.model(name, version, { headers, userId, sessionId }));
    const inputs = parts.readTensors(model.served.signature, {
      elementsMax: limits.elementsMax,
      take: memory.take,
    });
    const outputs = wantedOutputs(model, asked);
    const about = { outputs, deadlineMs, priority, userId, sessionId };
    const answer = await service.predict({ model, inputs, startedAt, isGone, ...about });
    const answeredAt = performance.now();
    const written = writeReply(model.version, asked, askedOutputs(model, asked, answer.outputs));
    const timing = serverTiming(answer, performance.now() - answeredAt);
    return toHttp(written, headers['accept-encoding'] as string | undefined, timing);
  };
}
