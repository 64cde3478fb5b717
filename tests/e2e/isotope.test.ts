import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ensureEnvironment, environmentsRoot, isTorchAtHand, REPOSITORY_ROOT } from '@millrace/embedded';
import type { Client, TrainingRun, TrainingRunConfig } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import { eventually } from '@millrace/testing';
import type { Json, TestPlatform } from './platform.ts';
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
let folder: string;

beforeAll(async () => {
  if (!isAtHand) return;
  folder = mkdtempSync(join(tmpdir(), 'millrace-isotope-'));
  const sources = join(folder, 'sources.json');
  writeFileSync(sources, JSON.stringify({ networks: ['127.0.0.1/32'] }));
  platform = await startTestPlatform({
    MILLRACE_WORKER_POOLS: 'cpu,torch,analysis',
    MILLRACE_SOURCES_FILE: sources,
  });
  client = createClient({ url: platform.platform.connection.gateway });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await platform?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
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

/** Spectra of three sources with one peak each over a falling background, as CSV with a column for each channel. */
function spectraCsv(): string {
  const peaks: [string, number][] = [
    ['Cs-137', 220],
    ['Co-60', 400],
    ['K-40', 487],
  ];
  const header = [...Array.from({ length: 1024 }, (_, channel) => `channel_${channel}`), 'isotope'];
  const rows = Array.from({ length: 180 }, (_, row) => {
    const [isotope, center] = peaks[row % peaks.length] as [string, number];
    const counts = Array.from({ length: 1024 }, (_, channel) => {
      const peak = (200 + row) * Math.exp(-(((channel - center) / 8) ** 2));
      return Math.round(peak + 40 * Math.exp(-channel / 200) + ((row * 7 + channel * 13) % 11));
    });
    return [...counts, isotope].join(',');
  });
  return `${[header.join(','), ...rows].join('\n')}\n`;
}

/** The same spectra as the arrays `spectrum` and `isotope` of an NPZ file. */
async function writeSpectraNpz(path: string): Promise<void> {
  const { python } = await ensureEnvironment('analysis', environmentsRoot(process.env), process.env);
  const csv = join(folder, 'spectra.csv');
  writeFileSync(csv, spectraCsv());
  const program = `
import csv, sys
import numpy as np
rows = list(csv.reader(open(sys.argv[1])))[1:]
np.savez_compressed(sys.argv[2], spectrum=np.array([row[:-1] for row in rows], np.float32),
    isotope=np.array([row[-1] for row in rows]))
`;
  await promisify(execFile)(python, ['-c', program, csv, path]);
}

withTorch('spectra in an NPZ file are uploaded in parts, ingested, trained on and served', async () => {
  const { call } = platform as TestPlatform;
  const { id } = await client.datasets.create({ name: 'measured' });
  const path = join(folder, 'spectra.npz');
  await writeSpectraNpz(path);
  const handle = await open(path, 'r');
  const { size: sizeBytes } = await handle.stat();
  const source = {
    name: 'spectra.npz',
    sizeBytes,
    async read(start: number, end: number) {
      const piece = Buffer.alloc(end - start);
      await handle.read(piece, 0, piece.length, start);
      return piece;
    },
  };
  const uploaded = await client.datasets.send(id, [source]);
  expect(await client.datasets.send(id, [source])).toMatchObject({
    versionId: uploaded.versionId,
    isReused: true,
  });
  await handle.close();
  const queued = await call('POST', `/v1/datasets/${id}/ingest`, {
    source: { type: 'upload', versionId: uploaded.versionId },
    options: { target: 'isotope' },
  });
  const version: Json = await eventually(
    async () => {
      const { body } = await call('GET', `/v1/datasets/${id}/versions/${queued.body.id}`);
      if (body.state === 'pending') throw new Error('the version is still pending');
      return body;
    },
    { timeoutMs: RUN_TIMEOUT_MS, intervalMs: 200 },
  );
  expect(version).toMatchObject({ state: 'ready', error: null, meta: { rows: { kept: 180 } } });

  const run = await client.runTrainingJob({
    modelName: 'measured',
    recipe: 'isotope',
    params: { epochs: 1, hidden: [32], explain: false },
    datasetVersionId: version.id,
  });
  expect(run.pipeline).toMatchObject({ state: 'succeeded', dataset: { versionId: version.id } });
  const served = await client.loadModelVersion('measured', run.version.version);
  const { probabilities } = await served.predict({ spectrum: new Float32Array(1024).fill(3) });
  expect(probabilities?.shape).toEqual([1, 3]);
});

withTorch(
  'a path is ingested first, and the model is served in the smaller form that was asked for',
  async () => {
    const server = createServer((_request, response) => {
      response.setHeader('content-type', 'text/csv');
      response.end(spectraCsv());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const dataPath = `http://127.0.0.1:${port}/spectra.csv`;
    const ingest = { target: 'isotope', vectors: [{ name: 'spectrum', prefix: 'channel_' }] };
    try {
      const run = await client.runTrainingJob({
        ...config,
        modelName: 'small',
        params: { epochs: 1, hidden: [32], explain: false },
        dataPath,
        ingest,
        conversion: { quantization: { mode: 'int8_dynamic', target: 'isotope', agreementMin: 0.5 } },
      });
      const { versionId = '', datasetId = '' } = run.pipeline.dataset ?? {};
      const version = await client.datasets.version(datasetId, versionId);
      expect(version).toMatchObject({ source: { source: { url: dataPath } }, meta: { rows: { kept: 180 } } });
      const conversion = await client.conversions.get(run.pipeline.conversionJobId ?? '');
      expect(conversion.result?.meta).toMatchObject({ quantization: { mode: 'int8_dynamic' } });
      const served = await client.loadModelVersion('small', run.version.version);
      const { probabilities } = await served.predict({ spectrum: new Float32Array(1024).fill(3) });
      expect(probabilities?.shape).toEqual([1, 3]);
      const nobody = { ...config, dataPath: 'http://10.255.0.1/spectra.csv', ingest };
      await expect(client.runTrainingJob(nobody)).rejects.toMatchObject({ code: 'url_not_allowed' });
    } finally {
      server.close();
    }
  },
);

withTorch('the dataset API gives the ingested spectra and takes a model for devices', async () => {
  const origin = client.url;
  const csv = await (await fetch(`${origin}/datasets/measured/download`)).text();
  const lines = csv.trimEnd().split('\r\n');
  expect(lines).toHaveLength(181);
  expect(lines[0]).toContain('spectrum_1023');
  const schema = (await (await fetch(`${origin}/datasets/measured/schema`)).json()) as Json;
  expect(schema).toMatchObject({ target: 'isotope' });
  const form = new FormData();
  const head = Buffer.from([28, 0, 0, 0]);
  form.append('model', new Blob([head, Buffer.from('TFL3'), Buffer.alloc(64)]), 'model.tflite');
  const { status, body } = await (platform as TestPlatform).call('POST', '/datasets/measured/models', form);
  expect([status, body.isServable, body.modelId]).toEqual([201, false, 'measured']);
  expect((await fetch(`${origin}/health`)).status).toBe(200);
});

withTorch('the client for Python does the same', async () => {
  const { python } = await ensureEnvironment('dev', environmentsRoot(process.env), process.env);
  const script = `
import json, sys
import numpy as np
from millrace_client import Client, MillraceError, TrainingConfig
url, version_id, path = sys.argv[1:]
with Client(url) as client:
    run = client.run_training_job(TrainingConfig(
        model_name="isotope", recipe="isotope", dataset_version_id=version_id,
        params={"epochs": 2, "hidden": [32], "explain": False}))
    versions = client.list_model_versions("isotope")
    uploaded = client.upload_dataset("measured", [path])
    loaded = client.load_model_version("isotope", versions[0]["version"])
    answer = client.predict("isotope", {"spectrum": np.full((2, 1024), 3.0, np.float32)})
    try:
        client.run_training_job(TrainingConfig(model_name="isotope", recipe="isotope", params={"epochs": 0}))
    except MillraceError as error:
        refused = error.code
    print(json.dumps({"state": run.pipeline["state"], "digest": run.job["result"]["meta"]["weightsDigest"],
        "versions": len(versions), "model": loaded["modelDigest"], "shape": answer["probabilities"].shape,
        "uploaded": [uploaded["state"], uploaded["ordinal"]], "refused": refused}))
`;
  const { stdout } = await promisify(execFile)(
    python,
    ['-c', script, client.url, first.pipeline.dataset?.versionId ?? '', join(folder, 'spectra.csv')],
    { env: { ...process.env, PYTHONPATH: join(REPOSITORY_ROOT, 'libs', 'client-py', 'src') } },
  );
  expect(JSON.parse(stdout)).toEqual({
    state: 'succeeded',
    digest: first.job.result?.meta.weightsDigest,
    versions: 1,
    model: first.version.modelDigest,
    shape: [2, 15],
    uploaded: ['ready', 3],
    refused: 'invalid_params',
  });
});
