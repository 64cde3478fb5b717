import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ArtifactRef } from '@millrace/contracts';
import { environmentsRoot } from '@millrace/embedded';
import { generateKeyPair } from '@millrace/integrity';
import { createStorage } from '@millrace/storage';
import type { PrivateNats, ServiceProcess, TestBucket, TestDatabase, TestProcess } from '@millrace/testing';
import {
  createTestBucket,
  createTestDatabase,
  eventually,
  startNats,
  startServiceProcess,
  startTestProcess,
} from '@millrace/testing';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_TIMEOUT_MS = 180_000;
const JOB_TIMEOUT_MS = 120_000;

type Version = {
  id: string;
  ordinal: number;
  state: string;
  digest: string | null;
  files: ArtifactRef[];
  meta: Record<string, unknown> | null;
  error: { code: string; message: string } | null;
};

let folder: string;
let nats: PrivateNats;
let database: TestDatabase;
let bucket: TestBucket;
let foreign: TestBucket;
let datasets: ServiceProcess;
let worker: TestProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-ingestion-test-'));
  [nats, database, bucket, foreign] = await Promise.all([
    startNats(),
    createTestDatabase(),
    createTestBucket(),
    createTestBucket(),
  ]);
  const keyFile = join(folder, 'gateway.pub.pem');
  writeFileSync(keyFile, generateKeyPair().publicKeyPem);
  const sourcesFile = join(folder, 'sources.json');
  const { endpoint, region, accessKeyId, secretAccessKey } = foreign;
  const entry = { type: 's3', endpoint, region, accessKeyId, secretAccessKey, buckets: [foreign.bucket] };
  writeFileSync(sourcesFile, JSON.stringify({ credentials: { 'default-s3': entry } }));
  const s3 = {
    MILLRACE_S3_ENDPOINT: bucket.endpoint,
    MILLRACE_S3_REGION: bucket.region,
    MILLRACE_S3_BUCKET: bucket.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
  };
  datasets = await startServiceProcess('datasets', {
    ...s3,
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_AUTH_MODE: 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: keyFile,
  });
  worker = await startTestProcess({
    name: 'analysis-worker',
    command: join(environmentsRoot(process.env), 'analysis/bin/python'),
    args: ['-m', 'millrace_analysis.worker'],
    env: {
      ...s3,
      PYTHONPATH: [join(ROOT, 'libs/worker-py/src'), join(ROOT, 'services/analysis-worker/src')].join(':'),
      MILLRACE_NATS_URL: nats.workerUrl,
      MILLRACE_NATS_INBOX_PREFIX: '_INBOX_worker',
      MILLRACE_WORKER_POOL: 'analysis',
      MILLRACE_WORKER_CACHE_DIR: join(folder, 'cache'),
      MILLRACE_SOURCES_FILE: sourcesFile,
    },
    isReady: (log) => log.includes('worker ready'),
  });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await worker?.stop();
  await datasets?.stop();
  await Promise.all([nats?.stop(), database?.drop(), bucket?.drop(), foreign?.drop()]);
  rmSync(folder, { recursive: true, force: true });
});

async function call(method: string, path: string, body?: unknown) {
  const response = await fetch(`${datasets.origin}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Version & { code?: string } };
}

const created = async (name: string) => (await call('POST', '/v1/datasets', { name })).body.id;

async function upload(datasetId: string, name: string, text: string): Promise<string> {
  const form = new FormData();
  form.append('file', new Blob([text]), name);
  const path = `/v1/datasets/${datasetId}/files`;
  const response = await fetch(`${datasets.origin}${path}`, { method: 'POST', body: form });
  return ((await response.json()) as Version).id;
}

function ended(datasetId: string, versionId: string): Promise<Version> {
  return eventually(
    async () => {
      const { body } = await call('GET', `/v1/datasets/${datasetId}/versions/${versionId}`);
      if (body.state === 'pending') throw new Error('the version is still pending');
      return body;
    },
    { timeoutMs: JOB_TIMEOUT_MS, intervalMs: 100 },
  );
}

const rows = (count: number, odd = '') =>
  `x,label\n${Array.from({ length: count }, (_, row) => `${row}.5,${'ab'[row % 2]}\n`).join('')}${odd}`;

describe('ingestions', () => {
  test(
    'an upload becomes three splits, a schema and a report; equal options give that version again',
    async () => {
      const datasetId = await created('uploaded');
      const versionId = await upload(datasetId, 'a.csv', rows(200));
      const request = { source: { type: 'upload', versionId }, options: { target: 'label' } };
      const queued = await call('POST', `/v1/datasets/${datasetId}/ingest`, request);
      expect(queued).toMatchObject({ status: 202, body: { state: 'pending', ordinal: 2 } });
      const done = await ended(datasetId, queued.body.id);
      expect(done.error).toBeNull();
      expect(done.files.map((file) => file.path).sort()).toEqual([
        'dataset.json',
        'quality.html',
        'quality.json',
        'schema.json',
        'test.arrow',
        'train.arrow',
        'validation.arrow',
      ]);
      expect(done.meta).toMatchObject({
        splits: { train: 140, validation: 30, test: 30 },
        rows: { kept: 200 },
      });
      const again = await call('POST', `/v1/datasets/${datasetId}/ingest`, request);
      expect(again).toMatchObject({ status: 200, body: { id: done.id } });
      const at = `/v1/datasets/${datasetId}/versions/${done.id}`;
      expect((await call('GET', `${at}/schema`)).body).toMatchObject({
        target: 'label',
        columns: [
          { name: 'x', type: 'float64', nullable: false },
          { name: 'label', type: 'string', nullable: false },
        ],
      });
      expect((await call('GET', `${at}/quality`)).body).toMatchObject({ verdict: 'accepted', findings: [] });
      expect((await call('GET', `/datasets/uploaded/schema`)).body).toMatchObject({ target: 'label' });
      const download = await fetch(`${datasets.origin}/datasets/${datasetId}/download`);
      expect(download.headers.get('etag')).toBe(`"${done.digest}"`);
      const [header, ...lines] = (await download.text()).trimEnd().split('\r\n');
      expect([header, ...lines.toSorted()]).toEqual([
        'x,label',
        ...rows(200).trimEnd().split('\n').slice(1).toSorted(),
      ]);
      const raw = await fetch(`${datasets.origin}/datasets/${datasetId}/download?version=1`);
      expect(await raw.text()).toBe(rows(200));
      const page = await fetch(`${datasets.origin}${at}/quality?format=html`);
      expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(await page.text()).toContain('200 rows read');
    },
    JOB_TIMEOUT_MS,
  );

  test(
    'the policy of the dataset refuses a version and its report stays readable',
    async () => {
      const datasetId = await created('refused');
      await call('PUT', `/v1/datasets/${datasetId}/quality-policy`, { duplicate: 'reject' });
      const versionId = await upload(datasetId, 'a.csv', rows(50, '1.5,b\n'));
      const queued = await call('POST', `/v1/datasets/${datasetId}/ingest`, {
        source: { type: 'upload', versionId },
        options: { target: 'label' },
      });
      const done = await ended(datasetId, queued.body.id);
      expect(done).toMatchObject({ state: 'failed', digest: null, error: { code: 'dataset_rejected' } });
      expect(done.error?.message).toContain('a.csv row 51');
      const at = `/v1/datasets/${datasetId}/versions/${done.id}`;
      expect((await call('GET', `${at}/quality`)).body).toMatchObject({ verdict: 'rejected' });
      expect(await call('GET', `${at}/schema`)).toMatchObject({
        status: 409,
        body: { code: 'dataset_not_ready' },
      });
      const dropped = await call('POST', `/v1/datasets/${datasetId}/ingest`, {
        source: { type: 'upload', versionId },
        options: { target: 'label', quality: { duplicate: 'drop' } },
      });
      expect(await ended(datasetId, dropped.body.id)).toMatchObject({
        state: 'ready',
        meta: { rows: { kept: 50 } },
      });
    },
    JOB_TIMEOUT_MS,
  );

  test(
    'an S3 prefix is read anew each time, and the same bytes have the same digest; a foreign bucket is refused',
    async () => {
      const datasetId = await created('from a bucket');
      const storage = createStorage(foreign);
      await storage.putObject('spectra/a.csv', Buffer.from(rows(60)));
      const uri = `s3://${foreign.bucket}/spectra/`;
      const ask = (address: string) =>
        call('POST', `/v1/datasets/${datasetId}/ingest`, {
          source: { type: 'bucket', uri: address },
          options: { target: 'label' },
        });
      const first = await ended(datasetId, (await ask(uri)).body.id);
      const second = await ended(datasetId, (await ask(uri)).body.id);
      expect(second.id).not.toBe(first.id);
      expect([first.state, second.digest]).toEqual(['ready', first.digest]);
      await storage.putObject('spectra/b.csv', Buffer.from(rows(40)));
      const third = await ended(datasetId, (await ask(uri)).body.id);
      expect(third.digest).not.toBe(first.digest);
      expect(third.meta).toMatchObject({ rows: { read: 100 } });
      const other = await ended(datasetId, (await ask(`s3://${bucket.bucket}/cas/`)).body.id);
      expect(other).toMatchObject({ state: 'failed', error: { code: 'source_not_allowed' } });
      storage.close();
    },
    JOB_TIMEOUT_MS,
  );

  test(
    'an address of this machine is refused, whatever it would answer',
    async () => {
      const datasetId = await created('inwards');
      const queued = await call('POST', `/v1/datasets/${datasetId}/ingest`, {
        source: { type: 'http', url: `${datasets.origin}/health/live` },
      });
      const done = await ended(datasetId, queued.body.id);
      expect(done).toMatchObject({ state: 'failed', error: { code: 'url_not_allowed' } });
    },
    JOB_TIMEOUT_MS,
  );

  test('files of another dataset cannot be named', async () => {
    const mine = await created('mine');
    const theirs = await created('theirs');
    const versionId = await upload(theirs, 'a.csv', rows(4));
    const refused = await call('POST', `/v1/datasets/${mine}/ingest`, {
      source: { type: 'upload', versionId },
    });
    expect(refused).toMatchObject({ status: 404, body: { code: 'dataset_version_not_found' } });
  });

  test.each([
    [{}, 400, 'invalid_request'],
    [{ preset: 'nothing' }, 400, 'invalid_request'],
    [{ source: { type: 'http', url: 'file:///etc/passwd' } }, 400, 'invalid_request'],
    [{ source: { type: 'http', url: 'https://x.org', tenant: 'other' } }, 400, 'invalid_request'],
    [{ preset: 'safecast', tenant: 'other' }, 400, 'unknown_field'],
    [
      { preset: 'safecast', options: { split: { seed: 1, validation: 0.5, test: 0.5 } } },
      400,
      'invalid_request',
    ],
  ])('%j is refused', async (body, status, code) => {
    const datasetId = await created('requests');
    const refused = await call('POST', `/v1/datasets/${datasetId}/ingest`, body);
    expect([refused.status, refused.body.code]).toEqual([status, code]);
  });
});

describe('the dataset API', () => {
  const ask = (path: string) => fetch(`${datasets.origin}/datasets/${path}`);
  const codeOf = async (path: string) => ((await (await ask(path)).json()) as { code: string }).code;

  async function datasetOf(name: string, files: Record<string, string>): Promise<string> {
    const created = await fetch(`${datasets.origin}/v1/datasets`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name }),
    });
    const { id } = (await created.json()) as { id: string };
    const form = new FormData();
    for (const [path, text] of Object.entries(files)) form.append('file', new Blob([text]), path);
    if (Object.keys(files).length > 0)
      await fetch(`${datasets.origin}/v1/datasets/${id}/files`, { method: 'POST', body: form });
    return id;
  }

  test('an uploaded CSV and its schema are given as they came, by id and by name', async () => {
    const id = await datasetOf('crowd', { 'dataset.csv': 'a,b\n1,=2\n', 'schema.json': '{"label":"b"}' });
    for (const name of [id, 'crowd']) {
      const download = await ask(`${name}/download`);
      expect(download.headers.get('content-type')).toBe('text/csv; charset=utf-8');
      expect(download.headers.get('content-disposition')).toContain('attachment');
      expect(await download.text()).toBe('a,b\n1,=2\n');
      expect(await (await ask(`${name}/schema`)).json()).toEqual({ label: 'b' });
    }
  });

  test('what cannot be given is refused by name', async () => {
    const none = await datasetOf('no version', {});
    const two = await datasetOf('two tables', { 'a.csv': 'a\n', 'b.csv': 'b\n' });
    expect(await codeOf(`01a20069-a60b-773e-b3cb-ac6791a4cc61/download`)).toBe('dataset_not_found');
    expect(await codeOf(`${none}/download`)).toBe('dataset_version_not_found');
    expect(await codeOf(`${two}/download`)).toBe('dataset_not_tabular');
    expect(await codeOf(`${two}/schema`)).toBe('dataset_not_tabular');
    expect(await codeOf(`${two}/schema?version=2`)).toBe('dataset_version_not_found');
    expect(await codeOf(`${two}/schema?version=0`)).toBe('invalid_request');
  });
});
