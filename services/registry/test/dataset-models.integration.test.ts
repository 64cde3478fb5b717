import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ServiceProcess } from '@millrace/testing';
import { sendThenRead } from '@millrace/testing';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, startRegistryStack } from './support/registry-stack.ts';

const START_TIMEOUT_MS = 120_000;
let stack: RegistryStack;
let datasets: ServiceProcess;
let datasetId: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  datasets = await stack.startReplica('datasets');
  const response = await fetch(`${datasets.origin}/v1/datasets`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'crowd' }),
  });
  ({ id: datasetId } = (await response.json()) as { id: string });
}, START_TIMEOUT_MS);

afterAll(() => stack?.stop());

/** The beginning of a TensorFlow Lite file (root offset, identifier) and some content. */
const tflite = (content: string): Buffer =>
  Buffer.concat([Buffer.from([28, 0, 0, 0]), Buffer.from(`TFL3${content.padEnd(64)}`)]);
const metaOf = (id: string): string =>
  JSON.stringify({
    version: '1.0.0',
    dataset: { id, hash: 'a'.repeat(64) },
    model: { metrics: { test_accuracy: 0.95, f1: 0.94 } },
  });

async function send(
  dataset: string,
  parts: Record<string, Uint8Array | string>,
  fields: Record<string, string> = {},
) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  for (const [name, bytes] of Object.entries(parts))
    form.append(
      name,
      new Blob([bytes as Uint8Array<ArrayBuffer>]),
      name === 'meta' ? 'meta.json' : 'model.tflite',
    );
  const path = `${stack.registry.origin}/datasets/${dataset}/models`;
  const response = await fetch(path, { method: 'POST', body: form });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe('models that were trained elsewhere on a dataset', () => {
  test('a TensorFlow Lite file and its meta.json become a signed version; the same bytes are that version', async () => {
    const parts = { model: tflite('one'), meta: metaOf(datasetId) };
    const made = await send(datasetId, parts);
    expect(made).toMatchObject({
      status: 201,
      body: { success: true, modelId: 'crowd', version: 'v1', datasetId, isServable: false },
    });
    expect(await send('crowd', parts)).toMatchObject({ status: 200, body: { version: 'v1' } });
    expect(await send('crowd', { file: tflite('two') })).toMatchObject({
      status: 201,
      body: { version: 'v2' },
    });
    const { body } = await getJson(`${stack.registry.origin}/v1/models/crowd/versions/v1`);
    expect(body).toMatchObject({
      framework: 'tflite',
      metrics: { test_accuracy: 0.95, f1: 0.94 },
      lineage: { source: 'dataset', datasetId, datasetHash: 'a'.repeat(64) },
    });
    expect((body.files as { path: string }[]).map(({ path }) => path)).toEqual(['meta.json', 'model.tflite']);
  });

  test('a label of the sender is kept, and other bytes under it are refused', async () => {
    const names = { modelId: 'edge', version: '1.0' };
    expect(await send(datasetId, { file: tflite('a') }, names)).toMatchObject({
      status: 201,
      body: { version: '1.0' },
    });
    expect(await send(datasetId, { file: tflite('b') }, names)).toMatchObject({
      status: 409,
      body: { code: 'version_conflict' },
    });
  });

  test('what is no such model, of another dataset or of none is refused', async () => {
    const model = tflite('three');
    const cases: [string, Record<string, Uint8Array | string>, string][] = [
      [datasetId, { file: 'no model' }, 'unknown_format'],
      [datasetId, { file: model, model }, 'unknown_format'],
      [datasetId, { model, meta: 'no json' }, 'invalid_json'],
      [datasetId, { model, meta: '[]' }, 'invalid_request'],
      [datasetId, { model, meta: metaOf('another') }, 'invalid_request'],
      [datasetId, { weights: model }, 'unknown_field'],
      ['nothing', { model }, 'dataset_not_found'],
    ];
    for (const [dataset, parts, code] of cases)
      expect((await send(dataset, parts)).body).toMatchObject({ code });
  });

  test('a large body that is refused at its beginning is told so to who reads after sending all', async () => {
    const refused = await sendThenRead(`${stack.registry.origin}/datasets/${datasetId}/models`, {
      headers: { 'content-type': 'text/plain' },
      sizeBytes: 48 * 1024 * 1024,
    });
    expect([refused.status, JSON.parse(refused.body)]).toEqual([
      415,
      expect.objectContaining({ code: 'unsupported_media_type' }),
    ]);
  });
});
