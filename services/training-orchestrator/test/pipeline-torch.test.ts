import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ConversionJobEvents,
  newId,
  PipelineConversionRequested,
  PipelineRegistrationRequested,
} from '@millrace/contracts';
import { createRecipeCatalog } from '@millrace/recipes';
import { eventually } from '@millrace/testing';
import { createPipelineService } from '../src/pipelines/pipeline.service.ts';
import { conversionSource, graphDigests } from '../src/pipelines/trained-files.ts';
import type { Harness } from './harness.ts';
import { recipes, startHarness } from './harness.ts';

const digest = (character: string) => character.repeat(64);
const file = (path: string) => ({ path, sha256: digest('a'), sizeBytes: 1 });

const dataset = {
  datasetId: newId(),
  versionId: newId(),
  digest: digest('d'),
  files: [file('train.arrow')],
};
const trained = {
  files: ['architecture.json', 'meta.json', 'model.safetensors', 'report.html', 'samples.npz'].map(file),
  meta: { weightsDigest: digest('6'), architectureDigest: digest('7') },
};

describe('a pipeline of a recipe of PyTorch', () => {
  let harness: Harness;
  beforeAll(async () => {
    harness = await startHarness();
  });
  afterAll(async () => {
    await harness.stop();
  });

  /** The newest message of an event. */
  const last = async (subject: string) =>
    await eventually(async () => {
      const stored = await harness.bus.jsm.streams.getMessage('MILLRACE_EVENTS', { last_by_subj: subject });
      if (stored === null) throw new Error('not in the stream yet');
      return stored.json<Record<string, unknown>>();
    });

  test('trains a version that is there at once, hands its weights to the converter and registers both digests', async () => {
    const { pipeline } = await harness.pipelines.submit({
      tenant: 'default',
      by: 'ada',
      recipe: 'counting',
      params: {},
      pool: 'torch',
      model: 'counter',
      datasetVersion: dataset,
    });
    expect(pipeline).toMatchObject({ stage: 'train', isDatasetReused: true, dataset });
    const jobId = pipeline.trainingJobId ?? '';
    const claimed = (await harness.call('claim', { jobId, workerId: 'w' })) as {
      job: { fence: number; spec: object };
    };
    expect(claimed.job.spec).toMatchObject({ recipe: 'counting', dataset });
    await harness.call('complete', { jobId, fence: claimed.job.fence, result: trained });
    expect(await last(PipelineConversionRequested.subject)).toMatchObject({
      pipelineId: pipeline.id,
      spec: {
        source: {
          format: 'weights',
          files: ['architecture.json', 'model.safetensors', 'samples.npz'].map(file),
        },
      },
    });
    const converted = {
      jobId: newId(),
      kind: 'convert',
      attempt: 1,
      fence: 1,
      spec: { requestId: pipeline.id },
      result: { files: [file('model.onnx'), file('labels.txt'), file('conversion.json')], meta: {} },
    };
    const { subject } = ConversionJobEvents.succeeded;
    await harness.bus.js.publish(subject, JSON.stringify(converted), { msgID: newId() });
    const asked = await last(PipelineRegistrationRequested.subject);
    expect(asked).toMatchObject({
      pipelineId: pipeline.id,
      graphDigests: { architecture: digest('7'), onnx: digest('a') },
      dataset: { versionId: dataset.versionId },
    });
    const paths = (asked.files as { path: string }[]).map(({ path }) => path);
    expect(paths.sort()).toEqual([
      'architecture.json',
      'labels.txt',
      'model.onnx',
      'model.safetensors',
      'report.html',
    ]);
  });

  test('goes to the pool of its recipe unless another one is named', async () => {
    const ofTorch = createRecipeCatalog(
      recipes.list().map((recipe) => ({ ...recipe, framework: 'torch', pool: 'torch' })),
    );
    const { database, pipelineRows, jobs, outbox } = harness;
    const service = createPipelineService({
      database,
      pipelines: pipelineRows,
      outbox,
      recipes: ofTorch,
      jobs: () => jobs,
    });
    const request = { tenant: 'default', by: 'ada', recipe: 'counting', params: {}, model: 'counter' };
    const poolOf = async (more: { pool?: 'gpu' }) =>
      (await service.submit({ ...request, ...more })).pipeline.request.pool;
    expect(await poolOf({})).toBe('torch');
    expect(await poolOf({ pool: 'gpu' })).toBe('gpu');
  });
});

test('a training with a SavedModel gives that to the converter, and its frozen graph is among the digests', () => {
  const files = ['saved_model/saved_model.pb', 'samples.npz', 'model.keras'].map(file);
  expect(conversionSource(files)).toEqual({ files: files.slice(0, 2) });
  expect(graphDigests({ frozenGraphDigest: digest('1') }, [file('model.onnx')])).toEqual({
    frozenGraph: digest('1'),
    onnx: digest('a'),
  });
  const refused = (code: string) => expect.objectContaining({ code });
  expect(() => graphDigests({}, [file('model.onnx')])).toThrow(refused('training_failed'));
  expect(() => graphDigests({ frozenGraphDigest: digest('1') }, [])).toThrow(refused('conversion_failed'));
});
