import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ensureEnvironment, environmentsRoot, isTorchAtHand, REPOSITORY_ROOT } from '@millrace/embedded';
import type { Client, TrainingRun, TrainingRunConfig } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import type { TestPlatform } from './platform.ts';
import { startTestPlatform } from './platform.ts';

const START_TIMEOUT_MS = 300_000;
const RUN_TIMEOUT_MS = 300_000;
const MODEL = 'isotope';
const config: TrainingRunConfig = {
  modelName: MODEL,
  recipe: 'isotope',
  params: { epochs: 2, hidden: [32], explain: false },
};

const isAtHand = await isTorchAtHand(environmentsRoot(process.env), process.env);
/** Registers a test where PyTorch is at hand; nowhere else is it fetched for tests. */
const withTorch = (name: string, work: () => Promise<void>): void => {
  if (isAtHand) test(name, work, RUN_TIMEOUT_MS);
};

if (!isAtHand)
  test('left out: no CPU build of PyTorch on disk (npm run env -- torch), and tests make no environment of it', () => {
    expect(existsSync(join(environmentsRoot(process.env), 'torch'))).toBe(false);
  });

let platform: TestPlatform | undefined;
let client: Client;
let first: TrainingRun;

beforeAll(async () => {
  if (!isAtHand) return;
  platform = await startTestPlatform({ MILLRACE_WORKER_POOLS: 'cpu,torch' });
  client = createClient({ url: platform.platform.connection.gateway });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await platform?.stop();
});

withTorch('runTrainingJob goes from spectra to a served version of the weights', async () => {
  const stages: string[] = [];
  first = await client.runTrainingJob(
    { ...config, datasetParams: { samples: 300, heldoutSamples: 60 } },
    { onNews: ({ stage }) => stages.push(stage) },
  );
  expect(first.pipeline.state).toBe('succeeded');
  expect(stages).toContain('train');
  const paths = first.version.files.map(({ path }) => path);
  expect(paths).toEqual(
    expect.arrayContaining([
      'architecture.json',
      'labels.txt',
      'model.onnx',
      'model.safetensors',
      'report.html',
    ]),
  );
  expect(first.version.inputs).toEqual([{ name: 'spectrum', dtype: 'float32', shape: [null, 1024] }]);
  expect(first.job.result?.meta).toMatchObject({ framework: { torch: expect.stringMatching(/^2\./) } });
});

withTorch(
  'the same training of the same dataset version repeats bit for bit: the version is reused',
  async () => {
    const again = await client.runTrainingJob({
      ...config,
      datasetVersionId: first.pipeline.dataset?.versionId ?? '',
    });
    expect(again.pipeline.modelVersion).toMatchObject({ version: first.version.version, isReused: true });
    expect(again.job.id).not.toBe(first.job.id);
    expect(again.job.result?.meta.weightsDigest).toBe(first.job.result?.meta.weightsDigest);
    expect(await client.listModelVersions(MODEL)).toMatchObject([{ version: first.version.version }]);
  },
);

withTorch('a loaded version answers with probabilities of fifteen isotopes', async () => {
  const version = await client.loadModelVersion(MODEL, first.version.version);
  expect(version.modelDigest).toBe(first.version.modelDigest);
  const counts = Float32Array.from({ length: 1024 }, (_, channel) => 50 * Math.exp(-channel / 200));
  const { probabilities } = await version.predict({ spectrum: counts });
  expect(probabilities?.shape).toEqual([1, 15]);
  const values = probabilities?.data as Float32Array;
  expect(values.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 4);
});

withTorch(
  'wrong parameters, data named twice and a version that is not there are refused by name',
  async () => {
    const wrong = { ...config, params: { architecture: 'perceptron' } };
    await expect(client.runTrainingJob(wrong)).rejects.toMatchObject({ code: 'invalid_params' });
    const twice = { ...config, dataPath: 's3://bucket/spectra', datasetVersionId: first.version.id };
    await expect(client.runTrainingJob(twice)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(client.loadModelVersion(MODEL, 'v99')).rejects.toMatchObject({
      code: 'version_not_found',
    });
  },
);

withTorch('the client for Python does the same', async () => {
  const { python } = await ensureEnvironment('dev', environmentsRoot(process.env), process.env);
  const script = `
import json, sys
import numpy as np
from millrace_client import Client, MillraceError, TrainingConfig
url, version_id = sys.argv[1:]
with Client(url) as client:
    run = client.run_training_job(TrainingConfig(
        model_name="isotope", recipe="isotope", dataset_version_id=version_id,
        params={"epochs": 2, "hidden": [32], "explain": False}))
    versions = client.list_model_versions("isotope")
    loaded = client.load_model_version("isotope", versions[0]["version"])
    answer = client.predict("isotope", {"spectrum": np.full((2, 1024), 3.0, np.float32)})
    try:
        client.run_training_job(TrainingConfig(model_name="isotope", recipe="isotope", params={"epochs": 0}))
    except MillraceError as error:
        refused = error.code
    print(json.dumps({"state": run.pipeline["state"], "digest": run.job["result"]["meta"]["weightsDigest"],
        "versions": len(versions), "model": loaded["modelDigest"], "shape": answer["probabilities"].shape,
        "refused": refused}))
`;
  const { stdout } = await promisify(execFile)(
    python,
    ['-c', script, client.url, first.pipeline.dataset?.versionId ?? ''],
    { env: { ...process.env, PYTHONPATH: join(REPOSITORY_ROOT, 'libs', 'client-py', 'src') } },
  );
  expect(JSON.parse(stdout)).toEqual({
    state: 'succeeded',
    digest: first.job.result?.meta.weightsDigest,
    versions: 1,
    model: first.version.modelDigest,
    shape: [2, 15],
    refused: 'invalid_params',
  });
});
