import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { InferenceConfig } from '../src/config.ts';
import type { Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
});

afterAll(() => serving.stop());

describe('/predict', () => {
  test('answers in the shape of the API', async () => {
    await serving.registry.add('sklearn', fixture('classifier'));
    const { status, body } = await serving.classify('sklearn', [ROW], { userId: 'user-123' });
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual([
      'inferenceId',
      'prediction',
      'confidence',
      'modelVersion',
      'latencyMs',
    ]);
    const prediction = body.prediction as { output_label: number[]; output_probability: number[] };
    expect(prediction.output_label).toEqual([1]);
    expect(prediction.output_probability).toHaveLength(2);
    expect(body.confidence).toBeCloseTo(Math.max(...prediction.output_probability), 6);
    expect(body.modelVersion).toBe('v1');
    expect(body.latencyMs).toBeGreaterThan(0);
  });

  test('takes nested rows and several of them', async () => {
    await serving.registry.add('rows', fixture('classifier'));
    const single = await serving.predict({ modelId: 'rows', features: { float_input: [ROW] } });
    const double = await serving.classify('rows', [ROW, ROW]);
    const one = single.body.prediction as { output_probability: number[] };
    expect(double.body).toMatchObject({
      confidence: null,
      prediction: {
        output_label: [1, 1],
        output_probability: [one.output_probability, one.output_probability],
      },
    });
  });

  test('serves production unless a version is named, else the newest', async () => {
    await serving.registry.add('stages', fixture('classifier'));
    const second = await serving.registry.add('stages', fixture('classifier'), { version: 'second' });
    expect((await serving.classify('stages')).body.modelVersion).toBe('second');
    expect((await serving.classify('stages', [ROW], { version: 'v1' })).body.modelVersion).toBe('v1');
    expect((await serving.classify('stages', [ROW], { version: '2' })).body.modelVersion).toBe('second');
    // the event of a change counts at once, without waiting for what is remembered to age
    serving.registry.change(second.modelVersionId, { stage: 'archived' });
    serving.bus.nc.publish(
      'millrace.evt.model-version.stage-changed.v1',
      JSON.stringify({ model: 'stages', modelVersionId: second.modelVersionId, to: 'archived' }),
    );
    await eventually(async () => expect((await serving.classify('stages')).status).toBe(403));
    expect((await serving.classify('stages')).body.code).toBe('stage_not_servable');
    expect((await serving.classify('stages', [ROW], { version: 'v1' })).status).toBe(200);
  });

  test('int64 beyond 2^53 stays exact', async () => {
    await serving.registry.add('counter', fixture('counter'));
    const features = { count: ['9007199254740993', 1], step: [1, 1], flag: [true, false] };
    const { body } = await serving.predict({ modelId: 'counter', features });
    expect(body.prediction).toEqual({ next: ['9007199254740994', 2], flag_out: [true, false] });
  });

  test.each<[string, object | string, number, string]>([
    ['unknown model', { modelId: 'nobody', features: {} }, 404, 'model_not_found'],
    [
      'unknown version',
      { modelId: 'sklearn', version: 'v9', features: { float_input: ROW } },
      404,
      'version_not_found',
    ],
    ['missing input', { modelId: 'sklearn', features: {} }, 400, 'missing_input'],
    ['extra input', { modelId: 'sklearn', features: { float_input: ROW, other: [1] } }, 400, 'extra_input'],
    ['wrong length', { modelId: 'sklearn', features: { float_input: [1] } }, 400, 'invalid_shape'],
    [
      'wrong type',
      { modelId: 'sklearn', features: { float_input: ['a', ...ROW.slice(1)] } },
      400,
      'invalid_type',
    ],
    [
      'too many rows',
      { modelId: 'sklearn', features: { float_input: Array.from({ length: 1_010 }, () => 1) } },
      413,
      'batch_too_large',
    ],
    [
      'unknown field',
      { modelId: 'sklearn', features: { float_input: ROW }, debug: true },
      400,
      'unknown_field',
    ],
    ['NaN', '{"modelId":"sklearn","features":{"float_input":[NaN,1,1,1,1,1,1,1,1,1]}}', 400, 'not_finite'],
    ['no JSON', '{"modelId":', 400, 'invalid_json'],
  ])('%s', async (_case, body, status, code) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await serving.post('/predict', text, { 'content-type': 'application/json' });
    expect(answer).toMatchObject({ status, body: { code, status } });
  });

  test('refuses other types and bodies over the bound', async () => {
    expect(await serving.post('/predict', 'x', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type' },
    });
    const large = await serving.post('/predict', Buffer.alloc(4_000_001, ' '), {
      'content-type': 'application/json',
    });
    expect(large).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
  });
});

describe('telemetry', () => {
  test('every prediction is told with its values, or their digest when they are large', async () => {
    await serving.registry.add('told', fixture('classifier'));
    const version = await serving.registry.add('told-large', fixture('cnn'));
    const small = await serving.classify('told', [ROW], { userId: 'u', sessionId: 's' });
    const large = await serving.predict({
      modelId: 'told-large',
      features: { input: new Array<number>(150_528).fill(0.5) },
    });
    expect(large.status).toBe(200);
    const told = (id: unknown) =>
      eventually(async () => {
        const found = serving.batches
          .flatMap((batch) => batch.predictions.map((prediction) => ({ batch, prediction })))
          .find(({ prediction }) => prediction.inferenceId === id);
        if (found === undefined) throw new Error('not told yet');
        return found;
      });
    const { prediction } = await told(small.body.inferenceId);
    expect(prediction).toMatchObject({
      userId: 'u',
      sessionId: 's',
      confidence: small.body.confidence,
      inputs: [{ name: 'float_input', shape: [1, 10], values: ROW }],
    });
    const other = await told(large.body.inferenceId);
    expect(other.batch).toMatchObject({
      model: 'told-large',
      modelVersionId: version.modelVersionId,
      dropped: 0,
    });
    expect(other.prediction.inputs[0]).toEqual({
      name: 'input',
      dtype: 'float32',
      shape: [1, 224, 224, 3],
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });
});

test('metrics and the OpenAPI document name the model and the routes', async () => {
  const metrics = await (await fetch(`${serving.origin}/metrics`)).text();
  expect(metrics).toMatch(/millrace_inference_compute_seconds_count\{[^}]*model="sklearn"[^}]*\} [1-9]/);
  expect(metrics).toMatch(/millrace_inference_telemetry_predictions\{[^}]*state="recorded"/);
  const document = (await (await fetch(`${serving.origin}/openapi.json`)).json()) as { paths: object };
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining(['/predict', '/v2/models/{model}/infer', '/v1/inference/models']),
  );
  expect(Object.keys(InferenceConfig.properties).length).toBeGreaterThan(20);
});
