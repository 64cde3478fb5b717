import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc } from '@millrace/bus';
import {
  DatasetVersionFailed,
  DatasetVersionReady,
  newId,
  PipelineDatasetRequested,
  TrainingJobEvents,
} from '@millrace/contracts';
import { eventually, sendThenRead } from '@millrace/testing';
import { headers } from '@nats-io/transport-node';
import { resolveMethod } from '../src/versions/version.rpc.ts';
import { startDatasets } from './support/start-datasets.ts';

/** More than a connection buffers. */
const LARGE_BYTES = 48 * 1024 * 1024;

let service: Awaited<ReturnType<typeof startDatasets>>;

beforeAll(async () => {
  service = await startDatasets();
});

afterAll(async () => {
  await service.stop();
});

async function json(path: string, init?: RequestInit) {
  const response = await fetch(`${service.origin}${path}`, init);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const post = (path: string, body: unknown) =>
  json(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

const createDataset = async (name: string) => (await post('/v1/datasets', { name })).body.id as string;

function form(files: Record<string, string>): FormData {
  const body = new FormData();
  for (const [path, text] of Object.entries(files)) body.append('file', new Blob([text]), path);
  return body;
}

const upload = (datasetId: string, files: Record<string, string>) =>
  json(`/v1/datasets/${datasetId}/files`, { method: 'POST', body: form(files) });

/** Plays the worker: claims the ingest job and completes it with one file. */
async function ingest(jobId: string): Promise<void> {
  const blob = await service.storage.putBlob(Buffer.from('numbers'));
  const claim = await service.jobs.claim(jobId, 'test-worker');
  await service.jobs.complete({
    jobId,
    fence: claim.job?.fence ?? 0,
    result: { files: [{ path: 'train.npz', ...blob }], meta: { rows: 7 } },
  });
}

const lastEvent = async (subject: string) =>
  (await service.bus.jsm.streams.getMessage('MILLRACE_EVENTS', { last_by_subj: subject }))?.json<
    Record<string, unknown>
  >();

/** What says whose a message is. */
function ofTenant() {
  const made = headers();
  made.set('millrace-tenant', 'default');
  return made;
}

describe('generated versions', () => {
  test('a pipeline gets the version when it is made; the same request later reuses it', async () => {
    const first = newId();
    const ask = (pipelineId: string, seed: number) =>
      service.bus.js.publish(
        PipelineDatasetRequested.subject,
        JSON.stringify({ pipelineId, recipe: 'counting', params: { seed }, name: 'numbers' }),
        { msgID: newId(), headers: ofTenant() },
      );
    await ask(first, 3);
    const job = await eventually(async () => {
      const [found] = await service.jobs.repository.list(service.database.db, {
        tenant: 'default',
        limit: 1,
      });
      expect(found).toMatchObject({ kind: 'ingest', spec: { recipe: 'counting', params: { seed: 3 } } });
      return found;
    });
    await ingest(job?.id ?? '');
    const ready = await eventually(async () => {
      const event = await lastEvent(DatasetVersionReady.subject);
      expect(event).toMatchObject({ requestId: first, isReused: false, ordinal: 1 });
      return event;
    });
    const second = newId();
    await ask(second, 3);
    await eventually(async () =>
      expect(await lastEvent(DatasetVersionReady.subject)).toMatchObject({
        requestId: second,
        isReused: true,
        versionId: ready?.versionId,
        digest: ready?.digest,
      }),
    );
    const resolved = await callRpc(service.bus, 'datasets', 'resolve', resolveMethod, {
      tenant: 'default',
      versionId: String(ready?.versionId),
    });
    expect(resolved.files).toHaveLength(1);
    await expect(
      callRpc(service.bus, 'datasets', 'resolve', resolveMethod, {
        tenant: 'another',
        versionId: String(ready?.versionId),
      }),
    ).rejects.toMatchObject({ code: 'dataset_version_not_found' });
  });

  test('a pipeline that asks for a recipe that does not exist is told so', async () => {
    const pipelineId = newId();
    await service.bus.js.publish(
      PipelineDatasetRequested.subject,
      JSON.stringify({ pipelineId, recipe: 'nothing', params: {}, name: 'numbers' }),
      { msgID: newId(), headers: ofTenant() },
    );
    await eventually(async () =>
      expect(await lastEvent(DatasetVersionFailed.subject)).toMatchObject({
        requestId: pipelineId,
        error: { code: 'unknown_recipe' },
      }),
    );
  });

  test('a failed ingestion fails the version; asking again makes a new one', async () => {
    const datasetId = await createDataset('fails');
    const body = { generator: { recipe: 'counting', params: { seed: 4 } } };
    const made = await post(`/v1/datasets/${datasetId}/versions`, body);
    expect(made.status).toBe(202);
    const { id, jobId } = made.body as { id: string; jobId: string };
    const claim = await service.jobs.claim(jobId, 'w');
    const error = { code: 'training_failed', message: 'The generator raised.' };
    await service.jobs.fail({ jobId, fence: claim.job?.fence ?? 0, error });
    const failed = await json(`/v1/datasets/${datasetId}/versions/${id}`);
    expect(failed.body).toMatchObject({ state: 'failed', error });
    const again = await post(`/v1/datasets/${datasetId}/versions`, body);
    expect(again.status).toBe(202);
    expect(again.body.ordinal).toBe(2);
  });
});

describe('uploads', () => {
  test('files become a version named by their digest; equal files give the same version', async () => {
    const datasetId = await createDataset('uploaded');
    const first = await upload(datasetId, { 'real/a.jpg': 'one', 'ai/b.jpg': 'two' });
    expect(first.status).toBe(201);
    expect(first.body).toMatchObject({ state: 'ready', ordinal: 1, sizeBytes: 6 });
    const again = await upload(datasetId, { 'ai/b.jpg': 'two', 'real/a.jpg': 'one' });
    expect(again.status).toBe(200);
    expect(again.body.id).toBe(first.body.id);
    const other = await upload(datasetId, { 'real/a.jpg': 'one!', 'ai/b.jpg': 'two' });
    expect(other.body.ordinal).toBe(2);
    const links = await json(`/v1/datasets/${datasetId}/versions/${first.body.id}/downloads`);
    const files = links.body.files as { path: string; url: string }[];
    const texts = await Promise.all(files.map(async (file) => (await fetch(file.url)).text()));
    expect(Object.fromEntries(files.map((file, i) => [file.path, texts[i]]))).toEqual({
      'ai/b.jpg': 'two',
      'real/a.jpg': 'one',
    });
    const page = await json(`/v1/datasets/${datasetId}/versions?limit=1`);
    expect(page.body.items).toHaveLength(1);
    expect(page.body.nextCursor).not.toBeNull();
  });

  test.each([
    ['a path that climbs out', { '../evil': 'x' }, 400, 'invalid_request'],
    ['an absolute path', { '/etc/passwd': 'x' }, 400, 'invalid_request'],
    ['no file', {}, 400, 'invalid_request'],
  ])('%s is refused and leaves no version', async (_what, files, status, code) => {
    const datasetId = await createDataset(`refused ${newId()}`);
    const refused = await upload(datasetId, files as Record<string, string>);
    expect(refused).toMatchObject({ status, body: { code } });
    expect((await json(`/v1/datasets/${datasetId}/versions`)).body.items).toEqual([]);
  });

  test('an upload that is cut off half way leaves no version', async () => {
    const datasetId = await createDataset('cut off');
    await new Promise<void>((resolve) => {
      const client = httpRequest({
        port: service.port,
        method: 'POST',
        path: `/v1/datasets/${datasetId}/files`,
        headers: { 'content-type': 'multipart/form-data; boundary=x', 'content-length': '100000' },
      });
      client.on('error', () => resolve());
      client.on('close', () => resolve());
      client.write('--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\nhalf', () =>
        setTimeout(() => client.destroy(), 100),
      );
    });
    expect((await json(`/v1/datasets/${datasetId}/versions`)).body.items).toEqual([]);
  });

  test('a body that is not multipart and a dataset that does not exist are refused', async () => {
    const datasetId = await createDataset('strict');
    const wrongType = await post(`/v1/datasets/${datasetId}/files`, {});
    expect(wrongType).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
    const missing = await upload(newId(), { a: 'x' });
    expect(missing).toMatchObject({ status: 404, body: { code: 'dataset_not_found' } });
  });

  test.each([
    ['of another type', 'application/json', '', 415, 'unsupported_media_type'],
    [
      'with a path that climbs out',
      'multipart/form-data; boundary=b',
      '--b\r\ncontent-disposition: form-data; name="file"; filename="../evil"\r\n\r\n',
      400,
      'invalid_request',
    ],
  ])('a large one %s is refused to who reads after sending all', async (_what, type, start, status, code) => {
    const url = `${service.origin}/v1/datasets/${await createDataset(`large ${newId()}`)}/files`;
    const refused = await sendThenRead(url, {
      headers: { 'content-type': type },
      start,
      sizeBytes: LARGE_BYTES,
    });
    expect([refused.status, JSON.parse(refused.body)]).toEqual([status, expect.objectContaining({ code })]);
  });
});

describe('lineage', () => {
  test('a version lists the trainings that used it, and what has ended stays ended', async () => {
    const datasetId = await createDataset('trained on');
    const version = (await upload(datasetId, { 'a.csv': 'x\n1\n' })).body as {
      id: string;
      digest: string;
      files: unknown[];
    };
    const [jobId, other] = [newId(), newId()];
    const dataset = { datasetId, versionId: version.id, digest: version.digest, files: version.files };
    const tell = (fact: 'created' | 'failed', id: string) => {
      const spec = { recipe: 'counting', params: {}, dataset };
      const more = fact === 'created' ? { pool: 'cpu' } : { attempt: 1, error: { code: 'x', message: 'y' } };
      return service.bus.js.publish(
        TrainingJobEvents[fact].subject,
        JSON.stringify({ jobId: id, kind: 'train', spec, ...more }),
        { msgID: newId(), headers: ofTenant() },
      );
    };
    const path = `/v1/datasets/${datasetId}/versions/${version.id}/trainings`;
    await tell('failed', jobId);
    await eventually(async () =>
      expect((await json(path)).body.items).toMatchObject([{ jobId, recipe: 'counting', state: 'failed' }]),
    );
    await tell('created', jobId);
    await tell('created', other);
    await eventually(async () =>
      expect((await json(path)).body.items).toMatchObject([
        { jobId: other, state: 'running' },
        { jobId, state: 'failed' },
      ]),
    );
    expect(await json(`/v1/datasets/${newId()}/versions/${version.id}/trainings`)).toMatchObject({
      status: 404,
      body: { code: 'dataset_version_not_found' },
    });
  });
});

describe('datasets', () => {
  test('a second dataset of the same name is the first one', async () => {
    const first = await post('/v1/datasets', { name: 'same', description: 'one' });
    const second = await post('/v1/datasets', { name: 'same' });
    expect([first.status, second.status, second.body.id]).toEqual([201, 200, first.body.id]);
  });

  test.each([
    [{ name: 'a/b' }, 'invalid_request'],
    [{ name: 'x', extra: 1 }, 'unknown_field'],
    [{}, 'invalid_request'],
  ])('%j is refused', async (body, code) => {
    expect(await post('/v1/datasets', body)).toMatchObject({ status: 400, body: { code } });
  });

  test('an unknown generator parameter is named', async () => {
    const datasetId = await createDataset('params');
    const refused = await post(`/v1/datasets/${datasetId}/versions`, {
      generator: { recipe: 'counting', params: { sead: 1 } },
    });
    expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_params' } });
    expect(String(refused.body.detail)).toContain('sead');
  });
});
