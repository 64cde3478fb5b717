import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc, connectBus } from '@millrace/bus';
import { workerMethods } from '@millrace/contracts';
import { createDatabase } from '@millrace/database';
import { INBOX_PREFIXES } from '@millrace/embedded';
import { createStorage } from '@millrace/storage';
import { eventually } from '@millrace/testing';
import { assertScraped, assertServingShown } from './operator-views.ts';
import type { Json, TestPlatform } from './platform.ts';
import { cli, crash, pidOf, pipelineDone, startTestPlatform } from './platform.ts';

const JOB_TIMEOUT_MS = 240_000;
const LEASE_MS = 5_000;
const PARAMS = { epochs: 5, samples: 64, seed: 7 };
const silent = { debug() {}, info() {}, warn() {}, error() {} };

let millrace: TestPlatform;
let plain: Json;

beforeAll(async () => {
  millrace = await startTestPlatform({ MILLRACE_JOB_LEASE_MS: String(LEASE_MS) });
}, 120_000);

afterAll(async () => {
  await millrace?.stop();
}, 60_000);

const submit = async (model: string, params: Json = PARAMS) => {
  const { status, body } = await millrace.call('POST', '/v1/pipelines', {
    recipe: 'verichain',
    params,
    dataset: { params: { heldoutSamples: 40 } },
    model: { name: model },
  });
  expect(status).toBe(202);
  return body.id as string;
};

const versionOf = async (model: string, version: string) =>
  (await millrace.call('GET', `/v1/models/${model}/versions/${version}`)).body;

describe('the main job', () => {
  test(
    'makes data, trains, converts, registers, serves and monitors a model',
    async () => {
      const id = await submit('plain');
      const pipeline = await pipelineDone(millrace, id, JOB_TIMEOUT_MS);
      expect(pipeline).toMatchObject({
        state: 'succeeded',
        stage: 'done',
        modelVersion: { isReused: false },
      });

      plain = await versionOf('plain', pipeline.modelVersion.version);
      expect(plain.modelDigest).toMatch(/^[0-9a-f]{64}$/);
      const metadata = await millrace.call('GET', '/v2/models/plain');
      expect(metadata.body).toMatchObject({
        inputs: [{ name: 'input', datatype: 'FP32', shape: [-1, 224, 224, 3] }],
        outputs: [{ name: 'output_0', datatype: 'FP32', shape: [-1, 1] }],
      });

      const features = { input: Array.from({ length: 224 * 224 * 3 }, (_, i) => i % 256) };
      const answer = await millrace.call('POST', '/predict', {
        modelId: 'plain',
        features,
        userId: 'user-1',
      });
      expect(answer.status).toBe(200);
      expect(answer.body.confidence).toBeGreaterThanOrEqual(0);
      expect(answer.body.confidence).toBeLessThanOrEqual(1);
      await assertServingShown(millrace, 'plain');
      const { inferenceId } = answer.body;
      const feedback = await millrace.call('POST', '/feedback', {
        inferenceId,
        outcome: { class: 1 },
        correct: true,
      });
      expect(feedback.body).toEqual({ success: true, inferenceId });
      await eventually(
        async () => {
          const metrics = await millrace.call('GET', '/monitoring/metrics?modelId=plain');
          expect(metrics.body).toMatchObject({ modelId: 'plain', count: 1, accuracy: 1 });
        },
        { timeoutMs: 15_000 },
      );
      const events = await millrace.call('GET', '/monitoring/events?modelId=plain&userId=user-1');
      expect(events.body.events).toHaveLength(1);
      expect(events.body.events[0]).toMatchObject({ id: inferenceId, correct: true, framework: 'onnx' });
    },
    JOB_TIMEOUT_MS + 30_000,
  );

  test(
    'the same job again gives the same digest, so the version is reused',
    async () => {
      const pipeline = await pipelineDone(millrace, await submit('plain'), JOB_TIMEOUT_MS);
      expect(pipeline).toMatchObject({
        state: 'succeeded',
        dataset: { isReused: true },
        modelVersion: { id: plain.id, isReused: true },
      });
    },
    JOB_TIMEOUT_MS,
  );

  test(
    'its signed provenance is enough to build the same bits again, and to prove it',
    async () => {
      const run = async (...args: string[]) => JSON.parse(await cli(millrace, ...args, '--json')) as Json;
      const verified = await run('verify', 'plain');
      expect(verified).toMatchObject({ verified: true, statements: ['provenance', 'meta', 'conversion'] });

      const answer = await run('verify-rebuild', 'plain');
      expect(answer).toMatchObject({ verdict: 'bit-identical', limits: [], weights: null });
      expect(answer.digests.rebuilt).toEqual(answer.digests.signed);
      expect(answer.digests.signed.onnx).toMatch(/^[0-9a-f]{64}$/);
      const { body } = await millrace.call('GET', `/v1/training/jobs/${answer.trainingJobId}`);
      expect(body).toMatchObject({ state: 'succeeded', spec: { params: plain.lineage.params } });
      expect((await millrace.call('GET', '/v1/models/plain/versions')).body.items).toHaveLength(1);

      // too short a time ends the job as well
      const late = await run('verify-rebuild', 'plain', '--timeout', '1').catch((error) => error as Json);
      expect(late).toMatchObject({ code: 69, stderr: expect.stringContaining('deadline_exceeded') });
      const [last] = (await millrace.call('GET', '/v1/training/jobs?limit=1')).body.items;
      expect(last.id).not.toBe(answer.trainingJobId);
      await eventually(
        async () => {
          const { body: job } = await millrace.call('GET', `/v1/training/jobs/${last.id}`);
          expect(job.state).toBe('cancelled');
        },
        { timeoutMs: 30_000 },
      );
    },
    JOB_TIMEOUT_MS,
  );

  test(
    'a real Prometheus scrapes every service, and reads each line of each',
    () => assertScraped(millrace, { model: 'plain', requests: 1 }),
    120_000,
  );

  test('a dataset that cannot be trained on fails the job with the reason', async () => {
    const { body: dataset } = await millrace.call('POST', '/v1/datasets', { name: 'one class' });
    const form = new FormData();
    const jpeg = readFileSync(new URL('../fixtures/images/grey.jpg', import.meta.url));
    for (let i = 0; i < 4; i += 1) form.append('file', new Blob([jpeg]), `real/${i}.jpg`);
    const { body: version } = await millrace.call('POST', `/v1/datasets/${dataset.id}/files`, form);
    const { status, body: job } = await millrace.call('POST', '/v1/training/jobs', {
      recipe: 'verichain',
      params: PARAMS,
      dataset: { versionId: version.id },
    });
    expect(status).toBe(202);
    await eventually(
      async () => {
        const { body } = await millrace.call('GET', `/v1/training/jobs/${job.id}`);
        expect(body).toMatchObject({ state: 'failed', error: { code: 'dataset_unusable' } });
      },
      { timeoutMs: 60_000 },
    );
  }, 90_000);
});

describe('a training that raises', () => {
  /** Keys of all blobs in S3. */
  async function blobs(): Promise<string[]> {
    const { endpoint, region, bucket, accessKeyId, secretAccessKey } = millrace.platform.connection.s3;
    const credentials = { accessKeyId, secretAccessKey };
    const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
    const { Contents = [], IsTruncated } = await client.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: 'cas/' }),
    );
    client.destroy();
    expect(IsTruncated).toBe(false);
    return Contents.map(({ Key = '' }) => Key).sort();
  }

  /** A number that JSON does not have passes every check of the data and breaks the last step of the training. */
  async function withNaN(files: Json[]): Promise<Json[]> {
    const storage = createStorage(millrace.platform.connection.s3);
    const manifest = files.find(({ path }) => path === 'manifest.json') as Json;
    const text = (await storage.getBlobBuffer(manifest.sha256)).toString();
    const changed = text.replace('"generator":{', '"generator":{"drawn":NaN,');
    expect(changed).not.toBe(text);
    const blob = await storage.putBlob(Buffer.from(changed));
    storage.close();
    return files.map((file) => (file === manifest ? { path: file.path, ...blob } : file));
  }

  test(
    'in its last step: fails the pipeline with the reason, leaves nothing behind, and the worker goes on',
    async () => {
      const database = createDatabase({ url: millrace.platform.connection.database, applicationName: 'e2e' });
      const { versionId } = (await millrace.call('GET', '/v1/pipelines?limit=1')).body.items[0].dataset;
      const setFiles = async (files: Json[]) => {
        await database.pool.query('update datasets.dataset_versions set files = $2 where id = $1', [
          versionId,
          JSON.stringify(files),
        ]);
      };
      const { rows } = await database.pool.query(
        'select files from datasets.dataset_versions where id = $1',
        [versionId],
      );
      const { files } = rows[0] as { files: Json[] };
      await setFiles(await withNaN(files));
      const before = await blobs();
      const worker = pidOf(millrace, 'training-worker');

      const pipeline = await pipelineDone(millrace, await submit('raises'), JOB_TIMEOUT_MS);
      expect(pipeline).toMatchObject({
        state: 'failed',
        stage: 'train',
        dataset: { versionId, isReused: true },
        error: {
          code: 'training_failed',
          message: expect.stringMatching(/^The training raised ValueError: /),
        },
        conversionJobId: null,
        modelVersion: null,
      });
      const path = `/v1/training/jobs/${pipeline.trainingJobId}`;
      const { body: job } = await millrace.call('GET', path);
      expect(job).toMatchObject({ state: 'failed', attempt: 1, error: pipeline.error, result: null });
      expect(job.progress.stage).toBe('export');
      await eventually(async () => {
        const { lines } = (await millrace.call('GET', `${path}/logs`)).body;
        const errors = lines.filter((line: Json) => line.level === 'error').map((line: Json) => line.message);
        expect(errors).toContain(pipeline.error.message);
        expect(errors.join('\n')).toContain('Traceback (most recent call last)');
      });

      expect((await millrace.call('GET', '/v1/models/raises')).body.code).toBe('model_not_found');
      expect(await blobs()).toEqual(before);
      const work = join(millrace.root, 'data', 'training-worker-cache', 'work');
      expect(readdirSync(work).flatMap((one) => readdirSync(join(work, one)))).toEqual(['.lock']);

      await setFiles(files);
      await database.close();
      const next = await millrace.call('POST', '/v1/training/jobs', {
        recipe: 'verichain',
        params: { ...PARAMS, epochs: 1 },
        dataset: { versionId },
      });
      await eventually(
        async () => {
          const { body } = await millrace.call('GET', `/v1/training/jobs/${next.body.id}`);
          expect(body).toMatchObject({ state: 'succeeded', attempt: 1 });
        },
        { timeoutMs: JOB_TIMEOUT_MS, intervalMs: 200 },
      );
      expect(pidOf(millrace, 'training-worker')).toBe(worker);
    },
    2 * JOB_TIMEOUT_MS,
  );
});

describe('a worker that is killed', () => {
  test(
    'after epoch 3 of 5: another goes on at epoch 4 and the model is bit for bit the same',
    async () => {
      const database = createDatabase({ url: millrace.platform.connection.database, applicationName: 'e2e' });
      const id = await submit('killed');
      const before = await eventually(
        async () => {
          const { rows } = await database.pool.query(
            `select j.id, j.fence, j.last_checkpoint from training.jobs j join training.pipelines p
             on p.training_job_id = j.id where p.id = $1`,
            [id],
          );
          expect(rows[0]?.last_checkpoint?.step).toBeGreaterThanOrEqual(3);
          return rows[0] as { id: string; fence: string; last_checkpoint: Json };
        },
        { timeoutMs: JOB_TIMEOUT_MS, intervalMs: 20 },
      );
      expect(before.last_checkpoint.step).toBe(3);
      crash(millrace, 'training-worker');

      const oldFence = Number(before.fence);
      const pipeline = await pipelineDone(millrace, id, JOB_TIMEOUT_MS);
      expect(pipeline.state).toBe('succeeded');
      const { body: job } = await millrace.call('GET', `/v1/training/jobs/${before.id}`);
      expect(job).toMatchObject({ state: 'succeeded', fence: oldFence + 1, attempt: 2 });
      const { body: log } = await millrace.call('GET', `/v1/training/jobs/${before.id}/logs`);
      const resumed = log.lines.filter((line: Json) => line.message.includes('resumes after step 3'));
      expect(resumed).toHaveLength(1);
      expect(resumed[0].fence).toBe(oldFence + 1);

      const bus = await connectBus({
        url: millrace.platform.connection.nats,
        name: 'e2e',
        inboxPrefix: INBOX_PREFIXES.services,
        logger: silent,
      });
      const late = await callRpc(bus, 'training-orchestrator', 'checkpoint', workerMethods.checkpoint, {
        jobId: before.id,
        fence: oldFence,
        step: 4,
        files: [
          { path: 'x', key: `jobs/${before.id}/f${oldFence}/step-4/x`, sha256: 'a'.repeat(64), sizeBytes: 1 },
        ],
      });
      expect(late.outcome).toBe('fenced');
      await bus.close();

      const { body: versions } = await millrace.call('GET', '/v1/models/killed/versions');
      expect(versions.items).toHaveLength(1);
      const killed = await versionOf('killed', pipeline.modelVersion.version);
      expect(killed.modelDigest).toBe(plain.modelDigest);
      await database.close();
    },
    JOB_TIMEOUT_MS + 60_000,
  );
});

describe('servers that go away', () => {
  test(
    'NATS, Postgres and S3 killed while a job runs: it ends well all the same',
    async () => {
      const id = await submit('shaken', { ...PARAMS, seed: 8 });
      for (const part of ['nats', 'postgres', 's3']) {
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        crash(millrace, part);
      }
      const pipeline = await pipelineDone(millrace, id, JOB_TIMEOUT_MS);
      expect(pipeline).toMatchObject({ state: 'succeeded' });
      const features = { input: Array.from({ length: 224 * 224 * 3 }, () => 128) };
      const answer = await millrace.call('POST', '/predict', { modelId: 'shaken', features });
      expect(answer.status).toBe(200);
    },
    JOB_TIMEOUT_MS + 60_000,
  );

  test('a blob that was changed in S3 is never served', async () => {
    const version = await versionOf('shaken', '1');
    const onnx = version.files.find((file: Json) => file.path === version.servingFile);
    const storage = createStorage(millrace.platform.connection.s3);
    const key = `cas/${onnx.sha256.slice(0, 2)}/${onnx.sha256}`;
    const bytes = await storage.getObject(key);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1;
    await storage.putObject(key, bytes);
    storage.close();
    rmSync(join(millrace.root, 'data', 'inference-cache'), { recursive: true, force: true });
    crash(millrace, 'inference');
    const features = { input: Array.from({ length: 224 * 224 * 3 }, () => 128) };
    await eventually(
      async () => {
        const answer = await millrace.call('POST', '/predict', { modelId: 'shaken', features });
        expect(answer.body.code).toBe('artifact_corrupt');
      },
      { timeoutMs: 60_000, intervalMs: 500 },
    );
  }, 90_000);
});

test('the fifth seed: scikit-learn to ONNX, curl upload, curl predict', async () => {
  {
    const onnx = new URL('../../libs/onnx/test/fixtures/generated/logistic_regression.onnx', import.meta.url);
    const gateway = millrace.platform.connection.gateway;
    const uploaded = JSON.parse(
      execFileSync('curl', [
        ...[
          '-sS',
          '-X',
          'POST',
          `${gateway}/model/upload`,
          '-F',
          'modelId=sklearn-classifier',
          '-F',
          'version=v1',
        ],
        ...['-F', 'framework=onnx', '-F', `file=@${onnx.pathname}`],
        ...['-F', 'inputSchema={"inputs":[{"name":"float_input","shape":[1,10]}]}'],
        '-F',
        'outputSchema={"outputs":[{"name":"output_label","shape":[1]},{"name":"output_probability","shape":[1,2]}]}',
      ]).toString(),
    ) as Json;
    expect(uploaded).toMatchObject({ success: true, modelId: 'sklearn-classifier', version: 'v1' });
    const body = {
      modelId: 'sklearn-classifier',
      features: { float_input: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] },
      userId: 'user-123',
    };
    const answer = JSON.parse(
      execFileSync('curl', [
        ...['-sS', '-X', 'POST', `${gateway}/predict`, '-H', 'Content-Type: application/json'],
        ...['-d', JSON.stringify(body)],
      ]).toString(),
    ) as Json;
    expect(answer.modelVersion).toBe('v1');
    expect(answer.prediction.output_probability).toHaveLength(2);
    expect(answer.confidence).toBe(Math.max(...answer.prediction.output_probability));
  }
});
