import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { Body } from '../http/body-reader.ts';
import { takeBodiesAsBytes } from '../http/body-reader.ts';
import type { Lease, MemoryPool } from '../http/memory-pool.ts';
import { serverTiming } from '../http/server-timing.ts';
import { readInputs } from '../tensors/read-inputs.ts';
import { nestedText } from '../tensors/tensor-text.ts';
import { readPredictRequest } from './predict-request.ts';
import type { Answer, PredictionService } from './prediction.service.ts';

const text = (description: string) => Type.String({ minLength: 1, maxLength: 255, description });

/** Body of `/predict`, for the documentation; the bytes are read by hand. */
const PredictBody = Type.Object(
  {
    modelId: text('Name of the model.'),
    version: Type.Optional(text('Label or ordinal; default: the production version, else the newest.')),
    features: Type.Record(Type.String(), Type.Unknown(), {
      description:
        'Values of each input by name: flat (divided into rows by the shape of the model) or nested arrays.',
    }),
    userId: Type.Optional(text('Who the prediction is for.')),
    sessionId: Type.Optional(text('Which visit it belongs to.')),
  },
  { additionalProperties: false },
);

/** The answer; `prediction` has each output as nested arrays, without the row dimension when there is one row. */
const PredictReply = Type.Object({
  inferenceId: Type.String(),
  prediction: Type.Record(Type.String(), Type.Unknown()),
  confidence: Type.Union([Type.Number(), Type.Null()]),
  modelVersion: Type.String(),
  latencyMs: Type.Number({ description: 'From the arrival of the body to the answer.' }),
});

/** A reply, written by hand: most of it are numbers. */
function replyText({ inferenceId, outputs, confidence, version, latencyMs }: Answer): string {
  let prediction = '';
  for (const output of outputs)
    prediction += `${prediction === '' ? '' : ','}${JSON.stringify(output.name)}:${nestedText(output)}`;
  return `{"inferenceId":"${inferenceId}","prediction":{${prediction}},"confidence":${confidence},"modelVersion":${JSON.stringify(version.version)},"latencyMs":${latencyMs}}`;
}

/** `POST /predict`. */
export function predictionRoutes(
  service: PredictionService,
  limits: { bodyBytesMax: number; elementsMax: number; pool: MemoryPool },
): (app: HttpApp) => Promise<void> {
  async function predict(bytes: Buffer, memory: Lease, reply: FastifyReply): Promise<string> {
    const startedAt = performance.now();
    const { modelId, version, featuresAt, ...caller } = readPredictRequest(bytes);
    const model = await service.model(modelId, version, { headers: reply.request.headers, ...caller });
    const reading = { elementsMax: limits.elementsMax, take: memory.take };
    const inputs = readInputs(bytes, featuresAt, model.served.signature, reading);
    const { socket } = reply.request.raw;
    const isGone = (): boolean => socket.destroyed;
    const answer = await service.predict({ model, inputs, startedAt, isGone, ...caller });
    const answeredAt = performance.now();
    const text = replyText(answer);
    const serialiseMs = performance.now() - answeredAt;
    void reply.header('server-timing', serverTiming(answer, serialiseMs));
    return text;
  }

  return async (app) => {
    takeBodiesAsBytes(
      app as unknown as FastifyInstance,
      ['application/json'],
      limits.bodyBytesMax,
      limits.pool,
    );
    app.post(
      '/predict',
      {
        config: { scope: 'predict' },
        bodyLimit: limits.bodyBytesMax,
        // the schema is documentation: the body is bytes here
        validatorCompiler: () => () => true,
        schema: {
          operationId: 'predict',
          tags: ['inference'],
          body: PredictBody,
          response: { 200: PredictReply },
        },
      },
      async (request, reply) => {
        const body = request.body as unknown as Body | undefined;
        if (body === undefined) throw new AppError('invalid_json', 'The body is empty; send a JSON object.');
        const { bytes, memory } = body;
        try {
          const text = await predict(bytes, memory, reply as unknown as FastifyReply);
          // the type of a reply is that of the documentation; the text has this form
          return reply.type('application/json').send(text as unknown as Static<typeof PredictReply>);
        } finally {
          memory.release();
        }
      },
    );
  };
}
