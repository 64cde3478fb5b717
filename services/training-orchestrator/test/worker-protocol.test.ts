import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { listDeadLetters, redriveDeadLetter } from '@millrace/bus';
import type { ClaimReply, FenceReply } from '@millrace/contracts';
import { newId, TrainingJobEvents } from '@millrace/contracts';
import type { JobRow } from '@millrace/jobs';
import { createJobService } from '@millrace/jobs';
import { eventually } from '@millrace/testing';
import { jobTables } from '../src/schema.ts';
import type { Harness } from './harness.ts';
import { LEASE_MS, startHarness } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness();
});

afterAll(async () => {
  await harness.stop();
});

const submit = async (pool: 'cpu' | 'gpu' = 'cpu', spec: Record<string, unknown> = { recipe: 'counting' }) =>
  (await harness.jobs.submit({ spec, pool, tenant: 'default' })).job;

async function claim(jobId: string, workerId = 'worker-a'): Promise<NonNullable<ClaimReply['job']>> {
  const reply: ClaimReply = await harness.call('claim', { jobId, workerId });
  if (reply.job === undefined) throw new Error(`not claimed: ${reply.outcome}`);
  return reply.job;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const digest = 'a'.repeat(64);
const checkpointFile = (prefix: string, step: number) => ({
  path: 'state.npz',
  key: `${prefix}step-${step}/state.npz`,
  sha256: digest,
  sizeBytes: 3,
});
const result = { files: [{ path: 'model.keras', sha256: digest, sizeBytes: 3 }], meta: { accuracy: 1 } };

describe('the fenced worker protocol', () => {
  test('a submitted job arrives in the queue of its pool as a pointer', async () => {
    const job = await submit();
    await eventually(async () => {
      const stored = await harness.bus.jsm.streams.getMessage('MILLRACE_JOBS', {
        last_by_subj: 'millrace.job.train.cpu',
      });
      expect(stored?.json()).toEqual({
        jobId: job.id,
        kind: 'train',
        service: 'training-orchestrator',
        pool: 'cpu',
      });
    });
  });

  test('of 20 workers that claim at once exactly one gets the job', async () => {
    const job = await submit();
    const replies: ClaimReply[] = await Promise.all(
      Array.from({ length: 20 }, (_, i) => harness.call('claim', { jobId: job.id, workerId: `w${i}` })),
    );
    expect(replies.filter((reply) => reply.outcome === 'claimed')).toHaveLength(1);
    expect(replies.filter((reply) => reply.outcome === 'leased')).toHaveLength(19);
  });

  test('after a lease ran out the next claim grows the fence by one and the old worker is fenced everywhere', async () => {
    const job = await submit();
    const first = await claim(job.id, 'worker-a');
    const accepted: FenceReply = await harness.call('checkpoint', {
      jobId: job.id,
      fence: first.fence,
      step: 3,
      files: [checkpointFile(first.checkpointPrefix, 3)],
    });
    expect(accepted.outcome).toBe('ok');
    await sleep(LEASE_MS + 100);
    const second = await claim(job.id, 'worker-b');
    expect(second.fence).toBe(first.fence + 1);
    expect(second.lastCheckpoint).toMatchObject({ step: 3, fence: first.fence });

    const stale = { jobId: job.id, fence: first.fence };
    const calls: FenceReply[] = [
      await harness.call('renew', { ...stale, step: 9 }),
      await harness.call('checkpoint', {
        ...stale,
        step: 9,
        files: [checkpointFile(first.checkpointPrefix, 9)],
      }),
      await harness.call('complete', { ...stale, result }),
      await harness.call('fail', { ...stale, error: { code: 'training_failed', message: 'late' } }),
      await harness.call('release', stale),
    ];
    expect(calls.map((reply) => reply.outcome)).toEqual(Array(5).fill('fenced'));
    const row = await harness.jobs.get(job.id);
    expect(row).toMatchObject({ state: 'running', fence: second.fence, lastCheckpoint: { step: 3 } });

    const done: FenceReply = await harness.call('complete', { jobId: job.id, fence: second.fence, result });
    expect(done.outcome).toBe('ok');
    // the worker asks again when the answer was lost
    const again: FenceReply = await harness.call('complete', { jobId: job.id, fence: second.fence, result });
    expect(again.outcome).toBe('ok');
    expect((await harness.jobs.get(job.id)).state).toBe('succeeded');
  });

  test('a checkpoint outside the prefix of the attempt is refused', async () => {
    const job = await submit();
    const { fence } = await claim(job.id);
    await expect(
      harness.call('checkpoint', {
        jobId: job.id,
        fence,
        step: 1,
        files: [checkpointFile(`jobs/${newId()}/f1/`, 1)],
      }),
    ).rejects.toMatchObject({ code: 'key_not_allowed' });
  });

  test('a running job that is cancelled is told so with its next heartbeat and ends cancelled', async () => {
    const job = await submit();
    const { fence } = await claim(job.id);
    expect((await harness.jobs.cancel(job.id)).state).toBe('cancelling');
    const reply: FenceReply = await harness.call('renew', { jobId: job.id, fence, step: 1 });
    expect(reply.outcome).toBe('cancel');
    await harness.call('cancelled', { jobId: job.id, fence });
    expect((await harness.jobs.get(job.id)).state).toBe('cancelled');
    expect((await harness.jobs.cancel(job.id)).state).toBe('cancelled');
  });

  test('cancel racing completion ends in exactly one state, and the event agrees', async () => {
    for (let round = 0; round < 20; round += 1) {
      const job = await submit();
      const { fence } = await claim(job.id);
      const [, completed] = await Promise.all([
        harness.jobs.cancel(job.id).catch(() => undefined),
        harness.call('complete', { jobId: job.id, fence, result }) as Promise<FenceReply>,
      ]);
      expect(completed.outcome).toBe('ok');
      expect((await harness.jobs.get(job.id)).state).toBe('succeeded');
      await expect(harness.jobs.cancel(job.id)).rejects.toMatchObject({ code: 'job_not_cancellable' });
    }
  });

  test('a queued job that is cancelled is terminal for whoever claims it', async () => {
    const job = await submit();
    await harness.jobs.cancel(job.id);
    const reply: ClaimReply = await harness.call('claim', { jobId: job.id, workerId: 'w' });
    expect(reply.outcome).toBe('terminal');
  });

  test('a graceful release costs no attempt', async () => {
    const job = await submit();
    const first = await claim(job.id);
    await harness.call('release', { jobId: job.id, fence: first.fence });
    const second = await claim(job.id);
    expect(second).toMatchObject({ attempt: 1, fence: first.fence + 1 });
  });

  test('a permanent error fails the job at once; the dead letter can be sent back as a new job', async () => {
    const job = await submit('cpu', { recipe: 'counting', mark: 'dead' });
    const { fence } = await claim(job.id);
    await harness.call('fail', {
      jobId: job.id,
      fence,
      error: { code: 'dataset_unusable', message: 'The dataset has one class only.' },
    });
    expect(await harness.jobs.get(job.id)).toMatchObject({
      state: 'failed',
      error: { code: 'dataset_unusable' },
    });
    const letter = await eventually(async () => {
      const letters = await listDeadLetters(harness.bus, { limit: 100 });
      const found = letters.find((candidate) => candidate.payload.includes(job.id));
      expect(found).toMatchObject({ code: 'dataset_unusable', consumer: 'training-orchestrator-jobs' });
      return found;
    });
    await redriveDeadLetter(harness.bus, letter?.sequence ?? 0);
    await eventually(async () => {
      const rows = await harness.jobs.repository.list(harness.database.db, { tenant: 'default', limit: 100 });
      expect(rows.find((row) => row.retryOf === job.id)).toMatchObject({ state: 'queued', spec: job.spec });
    });
  });

  test('retryable errors use up the attempts, the last cause is kept', async () => {
    const job = await submit();
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const { fence } = await claim(job.id);
      await harness.call('fail', {
        jobId: job.id,
        fence,
        error: { code: 'training_stalled', message: `stalled ${attempt}` },
      });
    }
    const row = await harness.jobs.get(job.id);
    expect(row.state).toBe('failed');
    expect(row.error).toMatchObject({ code: 'attempts_exhausted' });
    expect(row.error?.message).toContain('stalled 3');
  });

  test('the reconciler puts a job whose worker vanished back into the queue, also when NATS lost everything', async () => {
    const job = await submit();
    await claim(job.id);
    await harness.bus.jsm.streams.purge('MILLRACE_JOBS');
    await sleep(LEASE_MS + 100);
    // the runtime reconciles too, and a row that one of the two has locked is passed over by the other
    await eventually(async () => {
      await harness.jobs.reconcile();
      expect(await harness.jobs.get(job.id)).toMatchObject({ state: 'queued', attempts: 1 });
    });
    await eventually(async () => {
      const { state } = await harness.bus.jsm.streams.info('MILLRACE_JOBS');
      expect(state.messages).toBeGreaterThan(0);
    });
    expect(await claim(job.id)).toMatchObject({ attempt: 2 });
  });

  test('two submissions with one idempotency key are one job; another spec under it is refused', async () => {
    const spec = { recipe: 'counting', seed: 1 };
    const request = { spec, pool: 'cpu' as const, tenant: 'default', idempotencyKey: newId() };
    const first = await harness.jobs.submit(request);
    const second = await harness.jobs.submit(request);
    expect([first.isNew, second.isNew, second.job.id]).toEqual([true, false, first.job.id]);
    await expect(harness.jobs.submit({ ...request, spec: { recipe: 'other' } })).rejects.toMatchObject({
      code: 'idempotency_mismatch',
    });
  });

  test('a job whose pool has no live worker says so until one announces itself', async () => {
    const { database, outbox } = harness;
    const jobs = createJobService({
      service: 'training-orchestrator',
      kind: 'train',
      events: TrainingJobEvents,
      database,
      tables: jobTables,
      outbox,
      settings: { workerGraceMs: 1_000 },
    });
    const old = await submit('gpu');
    const status = async (job: JobRow) => (await jobs.view(job)).status;
    const awaited = 'Waits for a worker of pool gpu; none has announced itself yet.';
    expect(await status(old)).toBe(awaited);
    await eventually(async () =>
      expect(await status(old)).toContain('no worker of pool gpu is alive; start one'),
    );
    // the service has waited long enough, but not for this job
    const job = await submit('gpu');
    expect(await status(job)).toBe(awaited);
    expect(await status(old)).toContain('no worker of pool gpu is alive');
    await harness.call('announce', {
      workerId: 'gpu-1',
      pool: 'gpu',
      kinds: ['train'],
      devices: ['/GPU:0'],
      environmentDigest: digest,
      version: '0.0.0',
      host: 'test',
    });
    expect(await status(old)).toBe('Waits for a free worker of pool gpu.');
  });

  test('progress and log lines of the worker are stored once, whatever is delivered twice', async () => {
    const job = await submit();
    const { fence } = await claim(job.id);
    const say = (message: object) =>
      harness.bus.js.publish(
        `millrace.tel.train.${job.id}`,
        JSON.stringify({ jobId: job.id, fence, time: new Date().toISOString(), ...message }),
      );
    const progress = { stage: 'train', step: 7, totalSteps: 10, epoch: 1, epochs: 2, metrics: { loss: 0.5 } };
    await say({ type: 'log', level: 'info', message: 'hello' });
    await say({ type: 'progress', progress });
    await eventually(async () => {
      expect((await harness.jobs.get(job.id)).progress).toEqual(progress);
      const lines = await harness.jobs.repository.logs(harness.database.db, job.id, {
        afterSeq: 0,
        limit: 10,
      });
      expect(lines.map((line) => line.message)).toEqual(['hello']);
    });
  });
});
