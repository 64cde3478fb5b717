import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ensureEnvironment, environmentsRoot, REPOSITORY_ROOT } from '@millrace/embedded';
import type { Json, TestPlatform } from './platform.ts';
import { cli, pipelineDone, startTestPlatform } from './platform.ts';

const START_TIMEOUT_MS = 300_000;
const RUN_TIMEOUT_MS = 240_000;
const MODEL = 'crowdmind';
const EPOCHS = 4;
const SCRIPT = join(REPOSITORY_ROOT, 'ml', 'crowdmind', 'scripts', 'train_and_upload.py');
const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');

let platform: TestPlatform;
let pipeline: Json;
let training: Json;

const submit = (params: Json) =>
  platform.call('POST', '/v1/pipelines', {
    recipe: 'crowdmind',
    params: { epochs: EPOCHS, ...params },
    model: { name: MODEL },
    dataset: { params: { samples: 420 } },
  });

beforeAll(async () => {
  platform = await startTestPlatform({ MILLRACE_WORKER_POOLS: 'cpu' });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await platform?.stop();
});

test(
  'rows become a served version that carries its int8 model, measured against the ONNX graph',
  async () => {
    const submitted = await submit({});
    pipeline = await pipelineDone(platform, submitted.body.id, RUN_TIMEOUT_MS);
    training = (await platform.call('GET', `/v1/training/jobs/${pipeline.trainingJobId}`)).body;
    const { meta } = training.result;
    const { version } = pipeline.modelVersion;
    const { body } = await platform.call('GET', `/v1/models/${MODEL}/versions/${version}`);
    const files = new Map(
      (body.files as { path: string; sha256: string }[]).map(({ path, sha256 }) => [path, sha256]),
    );
    expect(files.get('edge/model.tflite')).toBe(meta.tfliteDigest);
    for (const path of ['edge/meta.json', 'edge/edge_model.c', 'edge/esp32s3_main.cc', 'model.onnx'])
      expect(files.has(path)).toBe(true);
    expect(body.lineage.graphDigests).toMatchObject({ tflite: meta.tfliteDigest });
    const conversion = await platform.call('GET', `/v1/conversions/${pipeline.conversionJobId}`);
    const { int8 } = conversion.body.result.meta.forms;
    expect(int8.samples).toBe(meta.dataset.heldout);
    expect(int8.accuracy).toBeCloseTo(meta.edge.accuracy.int8, 4);
    expect(int8.onnxAccuracy).toBeCloseTo(meta.edge.accuracy.float32, 4);
    expect(int8.agreement).toBeGreaterThan(0.9);
    const answer = await platform.call('POST', `/v2/models/${MODEL}/infer`, {
      inputs: [{ name: 'input', datatype: 'FP32', shape: [1, 10], data: Array(10).fill(1) }],
    });
    expect(answer.body.outputs[0].shape).toEqual([1, 7]);
  },
  RUN_TIMEOUT_MS,
);

test(
  'the factory, over HTTP alone, makes the same model and hands it back',
  async () => {
    const runs = join(platform.root, 'runs');
    mkdirSync(runs);
    const config = join(runs, 'train.yaml');
    writeFileSync(config, `training:\n  epochs: ${EPOCHS}\n`);
    const { python } = await ensureEnvironment('training', environmentsRoot(process.env), process.env);
    const { gateway, token } = platform.platform.connection;
    const { datasetId } = pipeline.dataset;
    await promisify(execFile)(python, [
      SCRIPT,
      ...['--dataset-id', datasetId, '--config', config, '--runs-dir', runs],
      ...['--api-base', gateway, '--token', token],
    ]);
    const [run = ''] = readdirSync(runs).filter((name) => name.startsWith('run_'));
    const output = join(runs, run, 'output');
    const { meta } = training.result;
    expect(sha256(readFileSync(join(output, 'model.tflite')))).toBe(meta.tfliteDigest);
    const told = JSON.parse(readFileSync(join(output, 'meta.json'), 'utf8')) as Json;
    expect(told.dataset).toEqual({ id: datasetId, hash: meta.dataset.contentDigest });
    const { uploaded } = JSON.parse(readFileSync(join(runs, run, 'run.json'), 'utf8')) as Json;
    expect(uploaded).toMatchObject({ success: true, datasetId, isServable: false });
    const path = `/v1/models/${encodeURIComponent(uploaded.modelId)}/versions/${uploaded.version}`;
    const { body } = await platform.call('GET', path);
    expect(body).toMatchObject({ framework: 'tflite', lineage: { datasetHash: told.dataset.hash } });
  },
  RUN_TIMEOUT_MS,
);

test('the bundle of the version is verified without the platform, and not once it was touched', async () => {
  const { version } = pipeline.modelVersion;
  const bundle = join(platform.root, 'bundle');
  await cli(platform, 'export', `${MODEL}@${version}`, '--out', bundle);
  const key = join(platform.root, 'key.pem');
  const parts = await platform.call('GET', `/v1/models/${MODEL}/versions/${version}/bundle-parts`);
  writeFileSync(key, parts.body.publicKeyPem);
  expect(await cli(platform, 'verify', bundle, '--public-key', key)).toContain(MODEL);
  const source = join(bundle, 'model', 'edge', 'edge_model.c');
  writeFileSync(source, `${readFileSync(source, 'utf8')}\n`);
  await expect(cli(platform, 'verify', bundle, '--public-key', key)).rejects.toMatchObject({ code: 1 });
});

test(
  'a model over the budget of its job fails it, and the reason says by how much',
  async () => {
    const { body } = await submit({ budget: { modelBytes: 2_000 } });
    await expect(pipelineDone(platform, body.id, RUN_TIMEOUT_MS)).resolves.toMatchObject({
      state: 'failed',
      stage: 'train',
      error: { code: 'edge_budget_exceeded', message: expect.stringMatching(/over the budget of 2000\./) },
    });
  },
  RUN_TIMEOUT_MS,
);
