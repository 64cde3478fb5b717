import type { HttpApp } from '@millrace/service-kit';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { Body } from '../http/body-reader.ts';
import { takeBodiesAsBytes } from '../http/body-reader.ts';
import type { Lease, MemoryPool } from '../http/memory-pool.ts';
import { readInputs } from '../tensors/read-inputs.ts';
import { nestedValues } from '../tensors/tensor-to-json.ts';
import { readPredictRequest } from './predict-request.ts';
import type { PredictionService } from './prediction.service.ts';

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

/** `POST /predict`. */
export function predictionRoutes(
  service: PredictionService,
  limits: { bodyBytesMax: number; elementsMax: number; pool: MemoryPool },
): (app: HttpApp) => Promise<void> {
  async function predict(bytes: Buffer, memory: Lease): Promise<Static<typeof PredictReply>> {
    const startedAt = performance.now();
    const { modelId, version, featuresAt, ...caller } = readPredictRequest(bytes);
    const model = await service.model(modelId, version);
    const reading = { elementsMax: limits.elementsMax, take: memory.take };
    const inputs = readInputs(bytes, featuresAt, model.served.signature, reading);
    const answer = await service.predict({ model, inputs, startedAt, ...caller });
    return {
      inferenceId: answer.inferenceId,
      prediction: Object.fromEntries(answer.outputs.map((output) => [output.name, nestedValues(output)])),
      confidence: answer.confidence,
      modelVersion: answer.version.version,
      latencyMs: answer.latencyMs,
    };
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
        serializerCompiler: () => (data) => JSON.stringify(data),
        schema: {
          operationId: 'predict',
          tags: ['inference'],
          body: PredictBody,
          response: { 200: PredictReply },
        },
      },
      async (request) => {
        const { bytes, memory } = request.body as unknown as Body;
        try {
          return await predict(bytes, memory);
        } finally {
          memory.release();
        }
      },
    );
  };
}
