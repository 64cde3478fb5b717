import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { EventDefinition } from '@millrace/contracts';
import {
  ConversionJobEvents,
  DatasetVersionFailed,
  DatasetVersionReady,
  ModelVersionLoaded,
  ModelVersionRegistered,
  newId,
  PipelineRegistrationRequested,
} from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import type { Harness } from './harness.ts';
import { startHarness } from './harness.ts';

let harness: Harness;
const digest = (character: string) => character.repeat(64);

beforeAll(async () => {
  harness = await startHarness();
});

afterAll(async () => {
  await harness.stop();
});

/** Publishes a fact of another service, as its outbox would. */
async function publish(event: EventDefinition, data: unknown): Promise<void> {
  await harness.bus.js.publish(event.subject, JSON.stringify(data), { msgID: newId() });
}

const submit = async () =>
  (
    await harness.pipelines.submit({
      tenant: 'default',
      by: 'ada',
      recipe: 'counting',
      params: { epochs: 2 },
      pool: 'cpu',
      model: 'counter',
    })
  ).pipeline;

const datasetReady = (requestId: string) => ({
  requestId,
  datasetId: newId(),
  versionId: newId(),
  name: 'numbers',
  ordinal: 1,
  digest: digest('d'),
  files: [{ path: 'train.npz', sha256: digest('1'), sizeBytes: 5 }],
  isReused: false,
});

async function pipelineAt(id: string, stage: string) {
  return eventually(async () => {
    const row = await harness.pipelineRows.find(harness.database.db, id);
    expect(row?.stage).toBe(stage);
    if (row === undefined) throw new Error('no pipeline');
    return row;
  });
}

const trained = {
  files: [
    { path: 'saved_model/saved_model.pb', sha256: digest('2'), sizeBytes: 1 },
    { path: 'samples.npz', sha256: digest('3'), sizeBytes: 1 },
    { path: 'model.keras', sha256: digest('4'), sizeBytes: 1 },
    { path: 'meta.json', sha256: digest('5'), sizeBytes: 1 },
  ],
  meta: { weightsDigest: digest('6'), frozenGraphDigest: digest('7') },
};

describe('a pipeline', () => {
  test('goes from data to a loaded version by events alone, and repeated events change nothing', async () => {
    const { id } = await submit();
    const ready = datasetReady(id);
    await publish(DatasetVersionReady, ready);
    await publish(DatasetVersionReady, ready);
    const atTrain = await pipelineAt(id, 'train');
    const jobId = atTrain.trainingJobId ?? '';
    const claimed = (await harness.call('claim', { jobId, workerId: 'w' })) as {
      job: { fence: number; spec: object };
    };
    expect(claimed.job.spec).toMatchObject({ recipe: 'counting', params: { epochs: 2, seed: 42 } });
    await harness.call('complete', { jobId, fence: claimed.job.fence, result: trained });

    await pipelineAt(id, 'convert');
    const conversionJobId = newId();
    const spec = { requestId: id };
    await publish(ConversionJobEvents.succeeded, {
      jobId: conversionJobId,
      kind: 'convert',
      attempt: 1,
      fence: 1,
      spec,
      result: { files: [{ path: 'model.onnx', sha256: digest('8'), sizeBytes: 2 }], meta: { opset: 17 } },
    });
    await pipelineAt(id, 'register');
    const asked = await eventually(async () => {
      const stored = await harness.bus.jsm.streams.getMessage('MILLRACE_EVENTS', {
        last_by_subj: PipelineRegistrationRequested.subject,
      });
      if (stored === null) throw new Error('the request is not in the stream yet');
      return stored.json<{ files: { path: string }[] }>();
    });
    expect(asked).toMatchObject({
      pipelineId: id,
      by: 'ada',
      weightsDigest: digest('6'),
      graphDigests: { frozenGraph: digest('7'), onnx: digest('8') },
    });
    expect(asked.files.map((file) => file.path).sort()).toEqual([
      'model.keras',
      'model.onnx',
      'saved_model/saved_model.pb',
    ]);

    const version = { modelVersionId: newId(), modelId: newId(), model: 'counter', version: '1', ordinal: 1 };
    await publish(ModelVersionRegistered, {
      ...version,
      stage: 'development',
      packageDigest: digest('9'),
      modelDigest: digest('a'),
      files: [],
      requestId: id,
      isReused: false,
    });
    await pipelineAt(id, 'load');
    await publish(ModelVersionLoaded, {
      ...version,
      packageDigest: digest('9'),
      requestId: id,
      loadMs: 1,
      warmUpMs: 1,
    });
    const done = await pipelineAt(id, 'done');
    expect(done).toMatchObject({ state: 'succeeded', modelVersion: '1', conversionJobId });
    expect(Object.keys(done.times).sort()).toEqual(['convert', 'dataset', 'load', 'register', 'train']);
  });

  test('ends with the reason when its dataset cannot be made', async () => {
    const { id } = await submit();
    await publish(DatasetVersionFailed, {
      datasetId: newId(),
      versionId: newId(),
      requestId: id,
      error: { code: 'dataset_unusable', message: 'Only one class.' },
    });
    await eventually(async () => {
      const row = await harness.pipelineRows.find(harness.database.db, id);
      expect(row).toMatchObject({ state: 'failed', stage: 'dataset', error: { code: 'dataset_unusable' } });
    });
  });

  test('that is cancelled cancels its training and does not move any more', async () => {
    const { id } = await submit();
    await publish(DatasetVersionReady, datasetReady(id));
    const { trainingJobId } = await pipelineAt(id, 'train');
    await harness.pipelines.cancel('default', id);
    expect((await harness.jobs.get(trainingJobId ?? '')).state).toBe('cancelled');
    expect((await harness.pipelines.get('default', id)).state).toBe('cancelled');
    await expect(harness.pipelines.cancel('another', id)).rejects.toMatchObject({
      code: 'pipeline_not_found',
    });
  });

  test.each([
    ['an unknown recipe', { recipe: 'nothing' }, 'unknown_recipe', /there are: counting/],
    ['an unknown parameter', { params: { epoch: 1 } }, 'invalid_params', /epoch/],
    ['a parameter out of range', { params: { epochs: 99 } }, 'invalid_params', /epochs.*<= 10/],
    ['a model name with a slash', { model: '../x' }, 'invalid_name', /slash/],
  ])('is refused for %s', async (_what, change, code, message) => {
    const request = {
      tenant: 'default',
      by: 'ada',
      recipe: 'counting',
      params: {},
      pool: 'cpu' as const,
      model: 'counter',
    };
    const refusal = harness.pipelines.submit({ ...request, ...change });
    await expect(refusal).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
