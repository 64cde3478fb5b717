import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ArtifactRef, JobView } from '@millrace/contracts';
import { newId, PipelineConversionRequested } from '@millrace/contracts';
import { sha256Hex } from '@millrace/integrity';
import { eventually } from '@millrace/testing';
import { headers } from '@nats-io/transport-node';
import type { ConverterStack } from './support/converter-stack.ts';
import { startConverterStack } from './support/converter-stack.ts';

const CLASSES = Array.from({ length: 5 }, (_, index) => `class ${index}`);
/** What `npm run ml:export` makes of the same files; its own test holds it too. */
const DIGEST = /17: '([0-9a-f]{64})'/.exec(
  readFileSync(new URL('../../conversion-worker/tests/test_export_cli.py', import.meta.url), 'utf8'),
)?.[1];

let stack: ConverterStack;
let files: ArtifactRef[];

beforeAll(async () => {
  stack = await startConverterStack();
  ({ files } = await stack.source('weights'));
}, 90_000);

afterAll(() => stack?.stop());

const named = (...paths: string[]): ArtifactRef[] => files.filter(({ path }) => paths.includes(path));
const ofWeights = () => ({
  format: 'weights',
  files: named('model.safetensors', 'architecture.json', 'samples.npz'),
});

async function converted(body: Record<string, unknown>): Promise<JobView> {
  const queued = await stack.post('/v1/conversions', body);
  expect(queued).toMatchObject({ status: 202 });
  return stack.ended(queued.body.id);
}

async function bytesOf(job: JobView, path: string): Promise<Buffer> {
  const file = job.result?.files.find((candidate) => candidate.path === path);
  return stack.storage.getBlobBuffer(file?.sha256 ?? '');
}

async function changed(path: string, change: (bytes: Buffer) => Buffer): Promise<ArtifactRef[]> {
  const [file] = named(path);
  const bytes = change(await stack.storage.getBlobBuffer(file?.sha256 ?? ''));
  const rest = ofWeights().files.filter((one) => one.path !== path);
  return [...rest, { path, ...(await stack.storage.putBlob(bytes)) }];
}

describe('weights over HTTP', () => {
  test('weights and an architecture become the same ONNX as on the command line', async () => {
    const done = await converted({ source: ofWeights() });
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    expect(done.result?.files.map(({ path }) => path).sort()).toEqual([
      'conversion.json',
      'labels.txt',
      'model.onnx',
    ]);
    expect(sha256Hex(await bytesOf(done, 'model.onnx'))).toBe(DIGEST);
    expect((await bytesOf(done, 'labels.txt')).toString().trim().split('\n')).toEqual(CLASSES);
    expect(done.result?.meta).toMatchObject({
      sourceFormat: 'weights',
      export: { family: 'mlp', fused: 3, parameters: 2693, isDetected: false },
      parity: { samples: 12, reference: 'samples.npz' },
      inputs: [{ name: 'spectrum', shape: [null, 64] }],
    });
  }, 90_000);

  test('weights alone are a plain network of the sizes asked for, with the names asked for', async () => {
    const source = { format: 'weights', files: named('model.safetensors') };
    const graph = { hiddenLayers: [32, 16], inputName: 'x', outputName: 'p', batchSize: 1, fuse: false };
    const done = await converted({ source, graph, opset: 13 });
    expect(done.result?.meta).toMatchObject({
      opset: 13,
      export: { isDetected: true, fused: 0 },
      inputs: [{ name: 'x', shape: [1, 64] }],
      outputs: [{ name: 'p', shape: [1, 5] }],
    });
    expect(await converted({ source, graph: { hiddenLayers: [16] } })).toMatchObject({
      state: 'failed',
      attempt: 1,
      error: { code: 'architecture_mismatch' },
    });
  }, 90_000);

  test('a model is quantised by the rows of a dataset version', async () => {
    const calibration = { files: named('validation.arrow'), target: 'isotope', samples: 20 };
    const done = await converted({ source: ofWeights(), quantization: { mode: 'int8_static', calibration } });
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    const { quantization, digests } = (done.result?.meta ?? {}) as Record<string, Record<string, unknown>>;
    expect(quantization).toMatchObject({
      mode: 'int8_static',
      calibrationRows: 20,
      rows: 20,
      samples: 'validation.arrow',
      accuracy: { float32: 1 },
    });
    expect(quantization?.agreement).toBeGreaterThanOrEqual(0.95);
    const model = await bytesOf(done, 'model.onnx');
    expect(digests?.['model.onnx']).toBe(sha256Hex(model));
    expect(quantization?.bytes).toMatchObject({ quantised: model.length });
    expect(model.includes('QuantizeLinear')).toBe(true);
  }, 90_000);

  test.each([
    [
      'a tensor cut short',
      'model.safetensors',
      (bytes: Buffer) => bytes.subarray(0, -4),
      'invalid_safetensors',
    ],
    [
      'an architecture of another width',
      'architecture.json',
      (bytes: Buffer) => Buffer.from(bytes.toString().replaceAll('32', '31')),
      'tensor_shape_mismatch',
    ],
    [
      'a layer that does not exist',
      'architecture.json',
      (bytes: Buffer) => Buffer.from(bytes.toString().replace('"relu"', '"lambda"')),
      'invalid_architecture',
    ],
    [
      'a tensor under another name',
      'architecture.json',
      (bytes: Buffer) => Buffer.from(bytes.toString().replace('layers.0.weight', 'layers.0.matrix')),
      'missing_tensor',
    ],
  ])(
    '%s ends the job at once with its code',
    async (_what, path, change, code) => {
      const source = { format: 'weights', files: await changed(path, change) };
      expect(await converted({ source })).toMatchObject({ state: 'failed', attempt: 1, error: { code } });
    },
    90_000,
  );

  test.each<[string, () => Record<string, unknown>, string?]>([
    ['metadata under a name that is none', () => ({ graph: { metadata: { 'a b': 'c' } } }), 'unknown_field'],
    [
      'a graph for another format',
      () => ({
        source: {
          format: 'keras',
          files: named('samples.npz').map((file) => ({ ...file, path: 'model.keras' })),
        },
        graph: {},
      }),
    ],
    ['an unknown mode', () => ({ quantization: { mode: 'int4' } })],
    ['an input name that is none', () => ({ graph: { inputName: '0' } })],
    [
      'a source without weights',
      () => ({ source: { format: 'weights', files: named('architecture.json') } }),
    ],
    [
      'calibration files of another kind',
      () => ({
        quantization: { mode: 'int8_static', calibration: { files: named('architecture.json') } },
      }),
    ],
    [
      'a calibration file that storage lacks',
      () => {
        const lost = named('validation.arrow').map((file) => ({ ...file, sha256: 'ab'.repeat(32) }));
        return { quantization: { mode: 'int8_static', calibration: { files: lost } } };
      },
    ],
  ])('%s is refused', async (_what, change, code = 'invalid_request') => {
    const reply = await stack.post('/v1/conversions', { source: ofWeights(), ...change() });
    expect(reply).toMatchObject({ status: 400, body: { code } });
  });
});

test('a pipeline has its weights converted', async () => {
  const pipelineId = newId();
  const values = headers();
  values.set('ce-id', newId());
  values.set('ce-subject', pipelineId);
  values.set('millrace-tenant', 'default');
  const spec = {
    source: ofWeights(),
    format: 'onnx',
    opset: 17,
    tag: 'serve',
    signature: 'serving_default',
    tolerance: 1e-4,
  };
  const { subject } = PipelineConversionRequested;
  await stack.bus.js.publish(subject, JSON.stringify({ pipelineId, spec }), { headers: values });
  const queued = await eventually(async () => {
    const page = (await (await fetch(`${stack.converter.origin}/v1/conversions?limit=500`)).json()) as {
      items: JobView[];
    };
    const found = page.items.find((item) => item.spec.requestId === pipelineId);
    if (found === undefined) throw new Error('no job yet');
    return found;
  });
  const done = await stack.ended(queued.id);
  expect(sha256Hex(await bytesOf(done, 'model.onnx'))).toBe(DIGEST);
}, 90_000);
