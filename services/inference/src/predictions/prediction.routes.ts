import { AppError, EntityKey } from '@millrace/contracts';
import type {
  BodyMemory,
  ExpressReply,
  ExpressRequest,
  ExpressRoute,
  HttpApp,
  Logger,
} from '@millrace/service-kit';
import { problemReply } from '@millrace/service-kit';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { Body } from '../http/body-reader.ts';
import { takeBodiesAsBytes } from '../http/body-reader.ts';
import type { MemoryPool } from '../http/memory-pool.ts';
import { serverTiming } from '../http/server-timing.ts';
import { servedName } from '../models/served-name.ts';
import { readInputs } from '../tensors/read-inputs.ts';
import { nestedText } from '../tensors/tensor-text.ts';
import { fillInputs } from './feature-inputs.ts';
import type { FeatureReader } from './feature-reader.ts';
import { readPredictRequest } from './predict-request.ts';
import type { Answer, PredictionService } from './prediction.service.ts';

const JSON_TYPE = /^application\/json\s*(;|$)/i;
const text = (description: string) => Type.String({ minLength: 1, maxLength: 255, description });

/** Body of `/predict`, for the documentation; the bytes are read by hand. */
const PredictBody = Type.Object(
  {
    modelId: text('Name of the model.'),
    version: Type.Optional(text('Label or ordinal; default: the production version, else the newest.')),
    features: Type.Record(Type.String(), Type.Unknown(), {
      description:
        'Values of each input by name: flat (divided into rows by the shape of the model) or nested arrays; or {"from": ["view.feature", …], "missing": 0}, the values of features now.',
    }),
    entities: Type.Optional(
      Type.Record(Type.String(), EntityKey, {
        description: 'Whose features: the key of each entity by its name.',
      }),
    ),
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

type PredictCall = Pick<ExpressRequest, 'body' | 'memory' | 'isGone' | 'principal'> & {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
};
type Predict = (call: PredictCall) => Promise<ExpressReply>;

const URL = '/predict';
const SCOPE = 'predict';

/** Answers a body of `/predict`. */
export function createPredict(
  service: PredictionService,
  limits: { elementsMax: number },
  readFeatures: FeatureReader,
): Predict {
  return async ({ body, memory, headers, isGone, principal }) => {
    const startedAt = performance.now();
    const { modelId, version, featuresAt, entities, ...caller } = readPredictRequest(body);
    const name = servedName(principal.tenant, modelId);
    const model =
      service.ready(name, version) ?? (await service.model(name, version, { headers, ...caller }));
    const reading = { elementsMax: limits.elementsMax, take: memory.take };
    const { tenant } = principal;
    const filled =
      entities === undefined
        ? body
        : await fillInputs(body, featuresAt, { tenant, entities, read: readFeatures });
    const inputs = readInputs(filled, featuresAt, model.served.signature, reading);
    const answer = await service.predict({ model, inputs, startedAt, isGone, ...caller });
    const answeredAt = performance.now();
    const text = replyText(answer);
    const timing = serverTiming(answer, performance.now() - answeredAt);
    return {
      status: 200,
      headers: ['content-type', 'application/json; charset=utf-8', 'server-timing', timing],
      body: text,
    };
  };
}

/** `POST /predict` for the complete server. */
export function predictionRoutes(
  predict: Predict,
  limits: { bodyBytesMax: number; pool: MemoryPool },
): (app: HttpApp) => Promise<void> {
  return async (app) => {
    takeBodiesAsBytes(
      app as unknown as FastifyInstance,
      ['application/json'],
      limits.bodyBytesMax,
      limits.pool,
    );
    app.post(
      URL,
      {
        config: { scope: SCOPE },
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
        const sent = request.body as unknown as Body | undefined;
        if (sent === undefined) throw new AppError('invalid_json', 'The body is empty; send a JSON object.');
        const { bytes: body, memory } = sent;
        const { headers, principal } = request;
        const { socket } = request.raw;
        const isGone = (): boolean => socket.destroyed;
        try {
          const answer = await predict({ body, memory, headers, isGone, principal });
          for (let i = 0; i < answer.headers.length; i += 2)
            void reply.header(answer.headers[i] as string, answer.headers[i + 1]);
          // the type of a reply is that of the documentation; the text has this form
          return reply.send(answer.body as unknown as Static<typeof PredictReply>);
        } finally {
          memory.release();
        }
      },
    );
  };
}

/** The same straight from the socket, for bodies that say they are JSON. */
export function predictionExpress(
  predict: Predict,
  options: { bodyBytesMax: number; lease(): BodyMemory; logger: Logger },
): ExpressRoute {
  return {
    url: URL,
    path: /^\/predict$/,
    scope: SCOPE,
    bodyBytesMax: options.bodyBytesMax,
    lease: options.lease,
    accepts: ({ 'content-type': type }) => type !== undefined && JSON_TYPE.test(type),
    answer: predict,
    refuse: (error, id) => problemReply(error, options.bodyBytesMax, { id, url: URL, log: options.logger }),
  };
}
