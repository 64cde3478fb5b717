import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { sha256Hex } from '@millrace/integrity';
import { eventually } from '@millrace/testing';

/** What acme's things are called; nobody else may read it anywhere. */
export const MARK = 'acmes-own';
/** A row for the model of the fixtures. */
export const ROW = Array.from({ length: 10 }, (_, i) => i / 10);

// biome-ignore lint/suspicious/noExplicitAny: a test reads fields of answers it has just checked by value
export type Json = Record<string, any>;
/** What came of a request. */
export type Answer = { readonly status: number; readonly body: Json; readonly text: string };
/** Somebody with a key; forms and bytes are sent as they are. */
export type Caller = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** A graph of the registry's fixtures. */
export const graph = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../../services/registry/test/fixtures/${name}.onnx`, import.meta.url)));

/** Asks an origin with a key. */
export function callerOf(origin: string, key: string): Caller {
  return async (method, path, body) => {
    const isRaw = body instanceof FormData || body instanceof Uint8Array;
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && !isRaw && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && {
        body: isRaw ? (body as FormData | Uint8Array<ArrayBuffer>) : JSON.stringify(body),
      }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, text, body: isJson && text !== '' ? JSON.parse(text) : {} };
  };
}

/** The body of an answer; throws what it says when it is a refusal. */
export const done = async (answer: Promise<Answer>): Promise<Json> => {
  const { status, body, text } = await answer;
  if (status >= 300) throw new Error(`${status}: ${text}`);
  return body;
};

/** The rows of acme's dataset. */
export const rows = Buffer.from(`{"float_input":[${ROW}]}\n`);

/** Makes one of everything for acme. */
export async function furnish(by: Caller): Promise<Record<string, string>> {
  const model = graph('model');
  const form = (fields: Record<string, string>, file: Uint8Array, name: string): FormData => {
    const made = new FormData();
    for (const [field, value] of Object.entries(fields)) made.append(field, value);
    made.append('file', new Blob([file as Uint8Array<ArrayBuffer>]), name);
    return made;
  };
  const upload = { modelId: MARK, version: 'v1', framework: 'onnx', metadata: JSON.stringify({ of: MARK }) };
  await done(by('POST', '/model/upload', form(upload, model, 'model.onnx')));
  const version = await done(by('GET', `/v1/models/${MARK}/versions/v1`));
  await done(by('PUT', `/v1/models/${MARK}/aliases/${MARK}`, { version: 'v1' }));
  const { modelVersionId } = (
    (await done(by('GET', '/v1/inference/models'))).models as { modelVersionId: string; model: string }[]
  ).find((one) => one.model === MARK) as { modelVersionId: string };
  const { inferenceId } = await done(
    by('POST', '/predict', { modelId: MARK, features: { float_input: ROW }, userId: MARK }),
  );
  await done(by('POST', '/feedback', { inferenceId, outcome: { of: MARK }, correct: true }));
  const columns = { 'inputs.float_input[0]': Array.from({ length: 50 }, (_, row) => row) };
  const reference = await done(
    by('POST', '/v1/monitoring/drift/references', { modelId: MARK, version: 'v1', modelVersionId, columns }),
  );
  const dataset = await done(by('POST', '/v1/datasets', { name: MARK, description: MARK }));
  const data = await done(by('POST', `/v1/datasets/${dataset.id}/files`, form({}, rows, `${MARK}.jsonl`)));
  await done(
    by('POST', '/v1/features/views', {
      name: MARK,
      entity: { name: 'customer', keyType: 'string' },
      features: [{ name: 'note', type: 'string' }],
    }),
  );
  const event = { eventTime: '2026-11-20T00:00:00Z', values: { note: MARK } };
  await done(by('PUT', `/v1/features/${MARK}/${MARK}`, event));
  const recipe = 'verichain';
  const pipeline = await done(
    by('POST', '/v1/pipelines', { recipe, model: { name: MARK }, dataset: { name: `${MARK}-images` } }),
  );
  const training = await done(by('POST', '/v1/training/jobs', { recipe, dataset: { versionId: data.id } }));
  const files = [{ path: 'saved_model/saved_model.pb', sha256: sha256Hex(rows), sizeBytes: rows.length }];
  const conversion = await done(by('POST', '/v1/conversions', { source: { files } }));
  const batch = await done(
    by('POST', '/v1/batch-jobs', { model: MARK, input: { datasetVersionId: data.id } }),
  );
  const session = await done(
    by('POST', '/v1/uploads', {
      modelId: MARK,
      version: 'v2',
      framework: 'onnx',
      files: [
        {
          name: 'model.onnx',
          sizeBytes: model.length,
          sha256: sha256Hex(model),
          partSizeBytes: 8 * 1024 * 1024,
          partDigests: [sha256Hex(model)],
        },
      ],
    }),
  );
  const parted = await done(
    by('POST', `/v1/datasets/${dataset.id}/uploads`, {
      files: [
        {
          name: `${MARK}-parts.jsonl`,
          sizeBytes: rows.length,
          sha256: sha256Hex(rows),
          partSizeBytes: 8 * 1024 * 1024,
          partDigests: [sha256Hex(rows)],
        },
      ],
    }),
  );
  const webhook = await done(
    by('POST', '/v1/webhooks', { url: `https://example.com/${MARK}`, types: ['webhook.disabled'] }),
  );
  const keys = await done(by('POST', '/v1/keys', { principal: `${MARK}-bot`, scopes: ['predict'] }));
  const [chain] = (await done(by('GET', '/v1/governance/histories'))).items as { chainId: string }[];
  const ingest = await eventually(async () => {
    const [job] = (await done(by('GET', '/v1/datasets/ingest-jobs'))).items as { id: string }[];
    if (job === undefined) throw new Error('the pipeline has asked for no data yet');
    return job.id;
  });
  await eventually(async () => {
    const { count } = await done(by('GET', `/monitoring/metrics?modelId=${MARK}`));
    expect(count).toBe(1);
  });
  return {
    name: MARK,
    model: MARK,
    modelId: MARK,
    version: 'v1',
    alias: MARK,
    stage: 'production',
    digest: version.packageDigest,
    modelVersionId,
    inferenceId,
    referenceId: reference.id,
    userId: MARK,
    datasetId: dataset.id,
    view: MARK,
    entity: MARK,
    versionId: data.id,
    pipelineId: pipeline.id,
    chainId: chain?.chainId ?? '',
    '/v1/training/jobs': training.id,
    '/v1/conversions': conversion.id,
    '/v1/datasets/ingest-jobs': ingest,
    '/v1/batch-jobs': batch.id,
    '/v1/uploads': session.id,
    uploadId: parted.id,
    '/v1/webhooks': webhook.id,
    '/v1/keys': keys.id,
    '/v1/principals': `${MARK}-bot`,
    '/v1/tenants': 'acme',
    '/v1/imports': dataset.id,
    eventId: dataset.id,
    sequence: '1',
  };
}
