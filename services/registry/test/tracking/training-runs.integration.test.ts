import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { messageHeaders } from '@millrace/bus';
import { TrainingJobEvents } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import { headers } from '@nats-io/transport-node';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack } from '../support/registry-stack.ts';

let stack: RegistryStack;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
});
afterAll(() => stack.stop());

const digest = 'ab'.repeat(32);
const dataset = {
  datasetId: randomUUID(),
  versionId: randomUUID(),
  digest,
  files: [{ path: 'x', sha256: digest, sizeBytes: 1 }],
};
const spec = { recipe: 'hatchery', params: { epochs: 2, optimizer: 'adam', rates: [0.1] }, dataset };
const about = (jobId: string) => ({ jobId, kind: 'train' as const });
const history = [
  { loss: 0.5, accuracy: 0.7 },
  { loss: 0.25, accuracy: 0.9 },
];

async function tell(
  event: { name: string; subject: string },
  data: { jobId: string } & Record<string, unknown>,
  tenant = 'default',
): Promise<void> {
  const id = randomUUID();
  const sent = messageHeaders({
    id,
    type: event.name,
    source: 'training',
    subject: data.jobId,
    time: new Date(),
    tenant,
  });
  const known = headers();
  for (const [name, value] of Object.entries(sent)) known.set(name, value);
  await stack.bus.js.publish(event.subject, JSON.stringify(data), { headers: known });
}

async function search(path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${stack.registry.origin}/api/2.0/mlflow/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Record<string, unknown>;
}

async function run(jobId: string): Promise<Record<string, unknown>> {
  const response = await fetch(
    `${stack.registry.origin}/api/2.0/mlflow/runs/get?run_id=${jobId.replaceAll('-', '')}`,
  );
  const body = (await response.json()) as { run: Record<string, unknown> };
  return body.run;
}

test('a training is a run of its recipe: parameters, metrics of each epoch, its end, whatever comes twice or late', async () => {
  const [good, bad, stopped, foreign] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
  const meta = { history, evaluation: { accuracy: 0.95, interval95: [0.9, 1] }, usage: { wallSeconds: 3 } };
  const succeeded = { ...about(good), attempt: 1, fence: 1, spec, result: { files: [], meta } };
  await tell(TrainingJobEvents.succeeded, succeeded);
  await tell(TrainingJobEvents.succeeded, succeeded);
  await tell(TrainingJobEvents.created, { ...about(good), pool: 'cpu', spec });
  const error = { code: 'training_failed', message: 'The loss is not a number.' };
  await tell(TrainingJobEvents.failed, { ...about(bad), attempt: 1, spec, error });
  await tell(TrainingJobEvents.cancelled, { ...about(stopped), spec });
  await tell(TrainingJobEvents.created, { ...about(foreign), pool: 'cpu', spec }, 'elsewhere');
  await eventually(
    async () => {
      expect(await run(good)).toMatchObject({
        info: { status: 'FINISHED' },
        data: { metrics: expect.arrayContaining([]) },
      });
      expect(await run(bad)).toMatchObject({ info: { status: 'FAILED' } });
      expect(await run(stopped)).toMatchObject({ info: { status: 'KILLED' } });
    },
    { timeoutMs: 20_000 },
  );
  const { info, data } = (await run(good)) as {
    info: Record<string, string>;
    data: Record<string, { key: string; value: unknown }[]>;
  };
  const figures = (list: string) =>
    Object.fromEntries((data[list] ?? []).map(({ key, value }) => [key, value]));
  expect(figures('params')).toEqual({ epochs: '2', optimizer: 'adam', rates: '[0.1]' });
  expect(figures('metrics')).toEqual({
    loss: 0.25,
    accuracy: 0.9,
    'evaluation.accuracy': 0.95,
    'usage.wallSeconds': 3,
  });
  expect(figures('tags')).toMatchObject({ 'millrace.trainingJob': good, 'millrace.datasetDigest': digest });
  expect(((await run(bad)).data as typeof data).tags).toContainEqual({
    key: 'millrace.error',
    value: 'training_failed: The loss is not a number.',
  });
  const found = await search('runs/search', {
    experiment_ids: [info.experiment_id],
    filter: 'metrics.loss < 0.3',
  });
  expect(found.runs).toHaveLength(1);
  // what is another tenant's is not seen here
  expect(await run(foreign)).toBeUndefined();
  const { experiments } = await search('experiments/search', { filter: "name = 'hatchery'" });
  expect(experiments).toHaveLength(1);
});
