import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ResolvedVersion, RolloutPlan, RolloutReport } from '@millrace/contracts';
import { ROLLOUT_BUCKETS, RolloutChanged, rolloutReportSubject } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
} from '../../src/grpc/generated/inference/v2/grpc_inference_service_pb.ts';
import type { ModelStatistics } from '../../src/server/server-control.ts';
import { ask, classifierBody } from '../support/bus-requests.ts';
import type { GrpcClient } from '../support/grpc-client.ts';
import { connectGrpc } from '../support/grpc-client.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

let serving: Serving;
let grpc: GrpcClient;
const reports: RolloutReport[] = [];

beforeAll(async () => {
  serving = await startServing();
  grpc = connectGrpc(serving.grpc);
  serving.bus.nc.subscribe(rolloutReportSubject('*'), {
    callback: (_error, message) => {
      reports.push(message.json<RolloutReport>());
    },
  });
}, 60_000);
afterAll(async () => {
  grpc?.close();
  await serving?.stop();
}, 30_000);

/** Two versions of one model, both in memory. */
async function addModel(model: string): Promise<[ResolvedVersion, ResolvedVersion]> {
  const v1 = await serving.registry.add(model, fixture('classifier'), { stage: 'production' });
  const v2 = await serving.registry.add(model, fixture('classifier'));
  serving.registry.change(v2.modelVersionId, { modelId: v1.modelId });
  for (const version of ['v1', 'v2'])
    expect((await serving.classify(model, [ROW], { version })).status).toBe(200);
  return [v1, v2];
}

let revision = 0;

/** Sets the rollout as the registry does: its answer, then its event; resolves when the service has heard of it. */
async function setRollout([v1, v2]: ResolvedVersion[], plan: Omit<RolloutPlan, 'revision'>): Promise<number> {
  revision += 1;
  const rollout = { ...plan, revision };
  for (const version of [v1, v2]) serving.registry.change(version?.modelVersionId ?? '', { rollout });
  serving.bus.nc.publish(RolloutChanged.subject, JSON.stringify({ model: v1?.model }));
  await serving.bus.nc.flush();
  const asked = serving.registry.asked();
  await eventually(async () => {
    await serving.classify(v1?.model ?? '');
    expect(serving.registry.asked()).toBeGreaterThan(asked);
  });
  return revision;
}

const all = (version: string): Pick<RolloutPlan, 'buckets'> => ({
  buckets: [{ below: ROLLOUT_BUCKETS, version }],
});

async function answeredBy(
  model: string,
  more: object = {},
  headers: Record<string, string> = {},
): Promise<unknown> {
  const body = JSON.stringify({ modelId: model, features: { float_input: ROW }, ...more });
  return (await serving.post('/predict', body, { 'content-type': 'application/json', ...headers })).body
    .modelVersion;
}

async function inferredBy(
  path: string,
  more: object = {},
  headers: Record<string, string> = {},
): Promise<unknown> {
  const answer = await serving.post(`/v2/models/${path}/infer`, classifierBody(more), headers);
  return answer.body.model_version;
}

async function grpcAnsweredBy(modelName: string, headers: Record<string, string> = {}, modelVersion = '') {
  const contents = { fp32Contents: ROW };
  const inputs = [{ name: 'float_input', datatype: 'FP32', shape: [1n, 10n], contents }];
  const message = toBinary(
    ModelInferRequestSchema,
    create(ModelInferRequestSchema, { modelName, modelVersion, inputs }),
  );
  const answer = await grpc.call('/inference.GRPCInferenceService/ModelInfer', message, headers);
  expect(answer.message).toBe('');
  return fromBinary(ModelInferResponseSchema, answer.messages[0] as Buffer).modelVersion;
}

describe('every door', () => {
  test('follows the weights, and lets a named version alone', async () => {
    const versions = await addModel('doors');
    const { modelId } = versions[0];
    await setRollout(versions, all('v2'));
    expect(await answeredBy('doors')).toBe('v2');
    expect(await inferredBy('doors')).toBe('2');
    expect(await grpcAnsweredBy('doors')).toBe('2');
    expect((await ask(serving.bus, modelId, classifierBody())).json.model_version).toBe('2');

    expect(await answeredBy('doors', { version: 'v1' })).toBe('v1');
    expect(await inferredBy('doors/versions/1')).toBe('1');
    expect(await grpcAnsweredBy('doors', {}, '1')).toBe('1');
    expect((await ask(serving.bus, modelId, classifierBody({ model_version: '1' }))).json.model_version).toBe(
      '1',
    );

    // no restart: the event of the next change is enough
    await setRollout(versions, all('v1'));
    expect(await answeredBy('doors')).toBe('v1');
    expect(await grpcAnsweredBy('doors')).toBe('1');
  });

  test('knows headers and callers', async () => {
    const versions = await addModel('callers');
    const { modelId } = versions[0];
    await setRollout(versions, {
      ...all('v1'),
      rules: [{ header: 'x-ring', equals: 'inner', version: 'v2' }],
    });
    const inner = { 'x-ring': 'inner' };
    expect(await answeredBy('callers', {}, inner)).toBe('v2');
    expect(await inferredBy('callers', {}, inner)).toBe('2');
    expect(await grpcAnsweredBy('callers', inner)).toBe('2');
    expect((await ask(serving.bus, modelId, classifierBody(), inner)).json.model_version).toBe('2');
    expect(await answeredBy('callers')).toBe('v1');

    const buckets = [
      { below: ROLLOUT_BUCKETS / 2, version: 'v1' },
      { below: ROLLOUT_BUCKETS, version: 'v2' },
    ];
    await setRollout(versions, { buckets, sticky: { by: 'userId' } });
    const ordinals: Record<string, unknown> = { v1: '1', v2: '2' };
    const seen = new Set<unknown>();
    for (let i = 0; i < 16; i += 1) {
      const userId = `user-${i}`;
      const version = await answeredBy('callers', { userId });
      seen.add(version);
      const parameters = { user_id: userId };
      // the same caller gets the same version at every door
      expect(await inferredBy('callers', { parameters })).toBe(ordinals[String(version)]);
      const { json } = await ask(serving.bus, modelId, classifierBody({ parameters }));
      expect(json.model_version).toBe(ordinals[String(version)]);
    }
    expect(seen.size).toBe(2);
    const refused = await serving.post(
      '/v2/models/callers/infer',
      classifierBody({ parameters: { user_id: 7 } }),
    );
    expect(refused.status).toBe(400);
  });
});

test('metadata without a version is of the version that answers most', async () => {
  const versions = await addModel('described');
  await setRollout(versions, all('v2'));
  const config = await fetch(`${serving.origin}/v2/models/described/config`);
  expect(await config.json()).toMatchObject({ version_policy: { specific: { versions: [2] } } });
});

test('each process reports what it did for the rollout, and faults of callers speak against nobody', async () => {
  const versions = await addModel('reported');
  const { modelId } = versions[0];
  const now = await setRollout(versions, all('v2'));
  const before = (await eventuallyReport(modelId, now, 1)).requests;
  for (let i = 0; i < 5; i += 1) await answeredBy('reported');
  const wrong = await serving.predict({ modelId: 'reported', features: { float_input: ['x'] } });
  expect(wrong.status).toBe(400);
  await answeredBy('reported', { version: 'v1' });
  const counts = await eventuallyReport(modelId, now, before + 5);
  expect(counts).toMatchObject({ version: 'v2', requests: before + 5, errors: 0 });
  expect(counts.latencies.reduce((sum, { count }) => sum + count, 0)).toBe(before + 5);
});

test('a version that cannot be loaded is reported as failed', async () => {
  const versions = await addModel('broken');
  const broken = await serving.registry.add('broken', Buffer.from('no graph'));
  const now = await setRollout([...versions], { ...all('v3') });
  expect((await serving.classify('broken')).status).toBe(422);
  await eventually(() => {
    const last = reports.findLast(
      (report) => report.modelId === versions[0].modelId && report.revision === now,
    );
    const counts = last?.versions.find(({ version }) => version === broken.version);
    expect(counts?.errors).toBeGreaterThan(0);
    expect(counts?.errors).toBe(counts?.requests);
  });
});

async function eventuallyReport(modelId: string, at: number, requests: number) {
  let found: RolloutReport['versions'][number] | undefined;
  await eventually(() => {
    const last = reports.findLast((report) => report.modelId === modelId && report.revision === at);
    found = last?.versions.find(({ version }) => version === 'v2');
    expect(found?.requests).toBeGreaterThanOrEqual(requests);
  });
  return found as RolloutReport['versions'][number];
}

test('requests go before the copies of a shadow, which are dropped and counted', async () => {
  const v1 = await serving.registry.add('pressed', fixture('spinner'), { stage: 'production' });
  const v2 = await serving.registry.add('pressed', fixture('spinner'));
  serving.registry.change(v2.modelVersionId, { modelId: v1.modelId });
  const spin = (turns: number, more = {}) =>
    serving.predict({ modelId: 'pressed', features: { turns: [turns] }, ...more });
  for (const version of ['v1', 'v2']) expect((await spin(1, { version })).status).toBe(200);
  revision += 1;
  const shadow = { version: 'v2', percent: 100 };
  serving.registry.change(v1.modelVersionId, { rollout: { ...all('v1'), shadow, revision } });
  serving.bus.nc.publish(RolloutChanged.subject, JSON.stringify({ model: 'pressed' }));
  await serving.bus.nc.flush();
  await eventually(async () => {
    await spin(1);
    expect(
      reports.some((report) => report.modelId === v1.modelId && (report.shadow?.compared ?? 0) > 0),
    ).toBe(true);
  });

  const answers = await Promise.all(Array.from({ length: 30 }, () => spin(400)));
  expect(answers.map(({ status, body }) => [status, body.modelVersion])).toEqual(Array(30).fill([200, 'v1']));
  await eventually(() => {
    const counts = reports.findLast(({ modelId }) => modelId === v1.modelId)?.shadow;
    expect(counts?.offered).toBeGreaterThanOrEqual(31);
    expect(counts?.dropped).toBeGreaterThan(10);
    expect(counts).toMatchObject({ version: 'v2', maxAbs: 0, failed: 0, incomparable: 0 });
    expect((counts?.compared ?? 0) + (counts?.dropped ?? 0)).toBe(counts?.offered);
  });
}, 30_000);

describe('the response cache', () => {
  async function statistics(model: string) {
    const answer = await fetch(`${serving.origin}/v2/models/${model}/versions/1/stats`);
    const { model_stats: all } = (await answer.json()) as { model_stats: ModelStatistics[] };
    const [stats] = all as [ModelStatistics];
    const { inference_stats: times, execution_count: runs, inference_count: rows } = stats;
    const { success, cache_hit: hit, cache_miss: miss } = times;
    return { runs, rows, success: success.count, hits: hit.count, hitNs: hit.ns, misses: miss.count };
  }

  test('answers equal requests without a run, at every door, and monitoring hears of each', async () => {
    const versions = await addModel('cached');
    const { modelId, modelVersionId } = versions[0];
    await setRollout(versions, { cache: { maxBytes: 1024 * 1024, ttlSeconds: 60 } });
    const first = await serving.classify('cached');
    const start = await statistics('cached');
    expect((await serving.classify('cached')).body.prediction).toEqual(first.body.prediction);
    expect(await inferredBy('cached')).toBe('1');
    expect(await inferredBy('cached/versions/1')).toBe('1');
    expect(await grpcAnsweredBy('cached')).toBe('1');
    expect((await ask(serving.bus, modelId, classifierBody())).json.model_version).toBe('1');
    const end = await statistics('cached');
    expect(end).toMatchObject({
      runs: start.runs,
      rows: Number(start.rows) + 5,
      success: Number(start.success) + 5,
      hits: Number(start.hits) + 5,
      misses: start.misses,
    });
    expect(end.hitNs).toBeGreaterThan(0);

    // other values, other outputs, another version: none of them is the same request
    await serving.classify('cached', [[...ROW].reverse()]);
    await inferredBy('cached', { outputs: [{ name: 'output_label' }] });
    await serving.classify('cached', [ROW], { version: 'v2' });
    expect(await statistics('cached')).toMatchObject({ runs: Number(start.runs) + 2, hits: end.hits });
    await eventually(() => {
      const told = serving.batches.filter((batch) => batch.modelVersionId === modelVersionId);
      const predictions = told.flatMap((batch) => batch.predictions);
      expect(predictions).toHaveLength(Number(end.rows) + 2);
      expect(predictions.every(({ inputs }) => /^[0-9a-f]{64}$/.test(inputs[0]?.sha256 ?? ''))).toBe(true);
    });
  });

  test('lets equal requests that come together run once', async () => {
    const v1 = await serving.registry.add('together', fixture('spinner'));
    await serving.predict({ modelId: 'together', features: { turns: [1] } });
    await setRollout([v1, v1], { cache: { maxBytes: 1024 * 1024, ttlSeconds: 60 } });
    await serving.predict({ modelId: 'together', features: { turns: [2] } });
    const start = await statistics('together');
    const turns = [20_000];
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => serving.predict({ modelId: 'together', features: { turns } })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body.prediction))).size).toBe(1);
    expect(new Set(answers.map(({ body }) => body.inferenceId)).size).toBe(8);
    const end = await statistics('together');
    expect(end.runs).toBe(Number(start.runs) + 1);
    expect(end.hits).toBe(Number(start.hits) + 7);
  });
});
