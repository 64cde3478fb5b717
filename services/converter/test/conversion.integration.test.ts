import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { listDeadLetters } from '@millrace/bus';
import type { ArtifactRef, JobView } from '@millrace/contracts';
import {
  ConversionJobEvents,
  newId,
  PipelineCancelled,
  PipelineConversionRequested,
} from '@millrace/contracts';
import { createDatabase } from '@millrace/database';
import { sha256Hex } from '@millrace/integrity';
import { blobKey } from '@millrace/storage';
import { eventually } from '@millrace/testing';
import { headers } from '@nats-io/transport-node';
import type { ConverterStack } from './support/converter-stack.ts';
import { JOB_TIMEOUT_MS, startConverterStack } from './support/converter-stack.ts';

let stack: ConverterStack;
let { bus, converter, database, storage, worker, source, post, job, ended } = {} as ConverterStack;

beforeAll(async () => {
  stack = await startConverterStack();
  ({ bus, converter, database, storage, worker, source, post, job, ended } = stack);
}, 90_000);

afterAll(() => stack?.stop());

async function publish(
  subject: string,
  pipelineId: string,
  data: unknown,
  tenant = 'default',
): Promise<void> {
  const values = headers();
  values.set('ce-id', newId());
  values.set('ce-subject', pipelineId);
  if (tenant !== '') values.set('millrace-tenant', tenant);
  await bus.js.publish(subject, JSON.stringify(data), { headers: values });
}

/** The worker stands still while `work` is about the queue alone; the jobs it gives are cancelled, none is converted. */
async function neverConverted(work: () => Promise<readonly string[]>): Promise<void> {
  await worker.pause();
  try {
    for (const id of await work()) {
      await fetch(`${converter.origin}/v1/conversions/${id}/cancel`, { method: 'POST' });
      expect(await job(id)).toMatchObject({ state: 'cancelled', attempt: 0 });
    }
  } finally {
    worker.resume();
  }
}

describe('conversions over HTTP', () => {
  test('a SavedModel becomes a checked ONNX model; equal models give equal bytes', async () => {
    const digests: (string | undefined)[] = [];
    for (const name of ['plain', 'augmented']) {
      const queued = await post('/v1/conversions', { source: await source(name), opset: 17 });
      expect(queued).toMatchObject({ status: 202, body: { kind: 'convert', pool: 'cpu' } });
      const done = await ended(queued.body.id);
      expect(done).toMatchObject({ state: 'succeeded', error: null });
      expect(done.result?.meta).toMatchObject({
        opset: 17,
        parity: { samples: 20, onnxruntimeVersion: '1.30.0' },
      });
      const onnx = done.result?.files.find((file) => file.path === 'model.onnx');
      expect((await storage.getBlobBuffer(onnx?.sha256 ?? '')).length).toBe(onnx?.sizeBytes);
      digests.push(onnx?.sha256);
    }
    expect(digests[1]).toBe(digests[0]);
  }, 120_000);

  test('a job and what it made are there for the tenant whose they are, and for no other', async () => {
    const queued = await post('/v1/conversions', { source: await source('plain') });
    const files = async () => {
      const response = await fetch(`${converter.origin}/v1/conversions/${queued.body.id}/files`);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    await ended(queued.body.id);
    const items = (await files()).body.items as (ArtifactRef & { url: string })[];
    expect(items.map(({ path }) => path).sort()).toEqual(['conversion.json', 'model.onnx']);
    for (const { url, sha256 } of items) {
      const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
      expect(sha256Hex(bytes)).toBe(sha256);
    }
    const { pool, close } = createDatabase({ url: database.url, applicationName: 'test' });
    await pool.query(`update converter.jobs set tenant = 'another' where id = $1`, [queued.body.id]);
    await close();
    expect(await files()).toMatchObject({ status: 404, body: { code: 'job_not_found' } });
    const jobs = `${converter.origin}/v1/conversions`;
    for (const [method, rest] of [
      ['GET', ''],
      ['GET', '/logs'],
      ['GET', '/events'],
      ['POST', '/cancel'],
    ] as const) {
      const response = await fetch(`${jobs}/${queued.body.id}${rest}`, { method });
      expect([rest, response.status, await response.json()]).toMatchObject([
        rest,
        404,
        { code: 'job_not_found' },
      ]);
    }
    const { items: listed } = (await (await fetch(jobs)).json()) as { items: { id: string }[] };
    expect(listed.length).toBeGreaterThan(0);
    expect(listed.map(({ id }) => id)).not.toContain(queued.body.id);
  }, 60_000);

  test('a failed conversion says why, at once and for good', async () => {
    const queued = await post('/v1/conversions', { source: await source('plain'), signature: 'nothing' });
    const done = await ended(queued.body.id);
    expect(done).toMatchObject({ state: 'failed', attempt: 1, error: { code: 'conversion_failed' } });
    expect(done.error?.message).toContain('serving_default');
  }, 60_000);

  test('input that was changed in the object store is not converted, and each refusal is a fact', async () => {
    type Refusal = { jobId: string; attempt: number; error: { code: string; message: string } };
    const refusals: { tenant: string | undefined; data: Refusal }[] = [];
    const facts = bus.nc.subscribe(ConversionJobEvents.verificationFailed.subject, {
      callback: (_error, message) => {
        refusals.push({ tenant: message.headers?.get('millrace-tenant'), data: message.json() });
      },
    });
    // of a size and content that no other test stores, so that the worker has to fetch it
    const text = 'a file that somebody with access to the object store exchanges';
    const { files } = await source('plain');
    const note = { path: 'saved_model/assets/note.txt', ...(await storage.putBlob(Buffer.from(text))) };
    const key = blobKey(note.sha256);
    await storage.putObject(key, Buffer.from(text.replace('somebody', 'anybody!')));
    const queued = await post('/v1/conversions', { source: { files: [...files, note] } });
    const refused = await eventually(
      () => {
        const own = refusals.filter(({ data }) => data.jobId === queued.body.id);
        expect(own.length).toBeGreaterThanOrEqual(2);
        return own;
      },
      { timeoutMs: JOB_TIMEOUT_MS },
    );
    expect(refused[0]).toEqual({
      tenant: 'default',
      data: {
        jobId: queued.body.id,
        kind: 'convert',
        attempt: 1,
        workerId: expect.any(String),
        spec: expect.objectContaining({ source: expect.anything() }),
        error: expect.objectContaining({
          code: 'artifact_corrupt',
          message: expect.stringContaining(note.sha256),
        }),
      },
    });
    // what was put right meanwhile is converted by the next attempt
    await storage.putObject(key, Buffer.from(text));
    const done = await ended(queued.body.id);
    expect(done).toMatchObject({ state: 'succeeded' });
    expect(refusals.map(({ data }) => data.attempt)).toEqual(
      Array.from({ length: done.attempt - 1 }, (_, index) => index + 1),
    );
    facts.unsubscribe();
  }, 90_000);

  test('the same Idempotency-Key is one job', () =>
    neverConverted(async () => {
      const body = { source: await source('plain'), opset: 15 };
      const key = { 'idempotency-key': 'once' };
      const first = await post('/v1/conversions', body, key);
      expect((await post('/v1/conversions', body, key)).body.id).toBe(first.body.id);
      const other = await post('/v1/conversions', { ...body, opset: 16 }, key);
      expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } });
      return [first.body.id];
    }));

  test.each([
    ['an opset out of range', { opset: 12 }, 'invalid_request'],
    ['an unknown field', { colour: 'red' }, 'unknown_field'],
    ['a tolerance of zero', { tolerance: 0 }, 'invalid_request'],
  ])('%s is refused', async (_what, change, code) => {
    const reply = await post('/v1/conversions', { source: await source('plain'), ...change });
    expect(reply).toMatchObject({ status: 400, body: { code } });
  });

  test('files that are no SavedModel, or that storage lacks, are refused', async () => {
    const { files } = await source('plain');
    const samples = files.filter((file) => file.path === 'samples.npz');
    expect(await post('/v1/conversions', { source: { files: samples } })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    });
    const missing = files.map((file) => ({ ...file, sha256: 'ab'.repeat(32) }));
    expect(await post('/v1/conversions', { source: { files: missing } })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    });
  });
});

describe('conversions for pipelines', () => {
  const jobsOf = async (pipelineId: string): Promise<JobView[]> => {
    const page = (await (await fetch(`${converter.origin}/v1/conversions?limit=500`)).json()) as {
      items: JobView[];
    };
    return page.items.filter((item) => item.spec.requestId === pipelineId);
  };
  const spec = async () => ({
    source: await source('plain'),
    format: 'onnx',
    opset: 17,
    tag: 'serve',
    signature: 'serving_default',
    tolerance: 1e-4,
  });

  const jobOf = (pipelineId: string): Promise<JobView> =>
    eventually(async () => {
      const [found] = await jobsOf(pipelineId);
      if (found === undefined) throw new Error('no job yet');
      return found;
    });

  test('a request that does not say whose it is becomes a dead letter, and no job of anybody', () =>
    neverConverted(async () => {
      const [pipelineId, later] = [newId(), newId()];
      await publish(PipelineConversionRequested.subject, pipelineId, { pipelineId, spec: await spec() }, '');
      await eventually(async () => {
        const letters = await listDeadLetters(bus, { limit: 100 });
        const own = letters.filter(({ payload }) => payload.includes(pipelineId));
        expect(own).toMatchObject([
          { code: 'invalid_request', consumer: 'converter-pipeline-conversion-requested', deliveries: 1 },
        ]);
      });
      await publish(PipelineConversionRequested.subject, later, { pipelineId: later, spec: await spec() });
      const { id } = await jobOf(later);
      expect(await jobsOf(pipelineId)).toEqual([]);
      return [id];
    }));

  test('a request that comes twice is one job', () =>
    neverConverted(async () => {
      const [pipelineId, later] = [newId(), newId()];
      const data = { pipelineId, spec: await spec() };
      await publish(PipelineConversionRequested.subject, pipelineId, data);
      await publish(PipelineConversionRequested.subject, pipelineId, data);
      // requests are taken in their order: once a later one has its job, the repeated one was treated
      await publish(PipelineConversionRequested.subject, later, { ...data, pipelineId: later });
      const { id } = await jobOf(later);
      const jobs = await jobsOf(pipelineId);
      expect(jobs).toHaveLength(1);
      return [id, ...jobs.map((one) => one.id)];
    }));

  /** Asks for a conversion and gives the job once it is in the queue. */
  const requested = async (): Promise<{ pipelineId: string; job: JobView }> => {
    const pipelineId = newId();
    await publish(PipelineConversionRequested.subject, pipelineId, { pipelineId, spec: await spec() });
    return { pipelineId, job: await jobOf(pipelineId) };
  };
  const cancel = (pipelineId: string) =>
    publish(PipelineCancelled.subject, pipelineId, { pipelineId, stage: 'convert' });
  const untilState = (id: string, state: JobView['state'], intervalMs = 25): Promise<JobView> =>
    eventually(
      async () => {
        const view = await job(id);
        if (view.state !== state) throw new Error(`${view.state}, not ${state}`);
        return view;
      },
      { timeoutMs: JOB_TIMEOUT_MS, intervalMs },
    );

  test('a cancelled pipeline stops its running conversion, and the worker takes the next one', async () => {
    const { pipelineId, job: running } = await requested();
    await untilState(running.id, 'running', 5);
    // worker and child stand still, so the conversion cannot end before the cancel is there
    await worker.pause();
    expect((await job(running.id)).state).toBe('running');
    await cancel(pipelineId);
    await untilState(running.id, 'cancelling');
    worker.resume();
    expect(await ended(running.id)).toMatchObject({
      state: 'cancelled',
      attempt: 1,
      result: null,
      error: { code: 'job_cancelled' },
    });
    const next = await requested();
    expect(await ended(next.job.id)).toMatchObject({ state: 'succeeded', attempt: 1 });
    expect(await job(running.id)).toMatchObject({ state: 'cancelled', result: null });
  }, 90_000);

  test('a pipeline cancelled before a worker is free is never converted', async () => {
    await worker.pause();
    const { pipelineId, job: queued } = await requested();
    await cancel(pipelineId);
    await untilState(queued.id, 'cancelled');
    worker.resume();
    // jobs are taken in their order: once a later one has ended, the cancelled one was passed over
    const next = await requested();
    expect(await ended(next.job.id)).toMatchObject({ state: 'succeeded' });
    expect(await job(queued.id)).toMatchObject({
      state: 'cancelled',
      attempt: 0,
      result: null,
      startedAt: null,
    });
  }, 90_000);
});
