import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Caller } from '../support/principals.ts';
import { callers } from '../support/principals.ts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack } from '../support/registry-stack.ts';

let stack: RegistryStack;
let ann: Caller;
let eve: Caller;
let reader: Caller;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  const all = ['models:read', 'train'] as const;
  const tenants = { ann: 'acme', reader: 'acme', eve: 'evil' };
  ({ ann, eve, reader } = await callers(stack, { ann: all, eve: all, reader: ['models:read'] }, tenants));
});
afterAll(() => stack.stop());

const api = '/api/2.0/mlflow';
const files = '/api/2.0/mlflow-artifacts/artifacts';
type Made = { run: { info: { run_id: string; experiment_id: string; artifact_uri: string } } };

test("nobody sees, changes or finds what is another tenant's, by any id or path", async () => {
  const experiment_id = (await ann('POST', `${api}/experiments/create`, { name: 'secret' })).body
    .experiment_id;
  const made = (await ann('POST', `${api}/runs/create`, { experiment_id })).body as Made;
  const { run_id, artifact_uri } = made.run.info;
  const logged = await ann('POST', `${api}/logged-models`, {
    experiment_id,
    name: 'm',
    source_run_id: run_id,
  });
  const { model_id } = (logged.body.model as { info: { model_id: string } }).info;
  const path = `${artifact_uri.replace('mlflow-artifacts:', '')}/f`;
  await ann('PUT', `${files}${path}`, 'mine');
  const metric = { run_id, key: 'm', value: 1, timestamp: 1 };
  const tries: [string, string, unknown?][] = [
    ['GET', `${api}/experiments/get?experiment_id=${experiment_id}`],
    ['GET', `${api}/experiments/get-by-name?experiment_name=secret`],
    ['POST', `${api}/experiments/delete`, { experiment_id }],
    ['POST', `${api}/experiments/set-experiment-tag`, { experiment_id, key: 'k', value: 'v' }],
    ['POST', `${api}/runs/create`, { experiment_id }],
    ['GET', `${api}/runs/get?run_id=${run_id}`],
    ['POST', `${api}/runs/update`, { run_id, status: 'FAILED' }],
    ['POST', `${api}/runs/delete`, { run_id }],
    ['POST', `${api}/runs/log-metric`, metric],
    ['POST', `${api}/runs/set-tag`, { run_id, key: 'k', value: 'v' }],
    ['POST', `${api}/runs/log-batch`, { run_id, params: [{ key: 'k', value: 'v' }] }],
    ['POST', `${api}/runs/outputs`, { run_id, models: [{ model_id }] }],
    ['GET', `${api}/metrics/get-history?run_id=${run_id}&metric_key=m`],
    ['GET', `${api}/logged-models/${model_id}`],
    ['PATCH', `${api}/logged-models/${model_id}/tags`, { tags: [{ key: 'k', value: 'v' }] }],
    ['DELETE', `${api}/logged-models/${model_id}`],
    ['GET', `${files}${path}`],
    ['DELETE', `${files}${path}`],
  ];
  for (const [method, url, body] of tries)
    expect([method, url, await eve(method, url, body)]).toMatchObject([
      method,
      url,
      { status: 404, body: { error_code: 'RESOURCE_DOES_NOT_EXIST' } },
    ]);
  const own = (await eve('POST', `${api}/runs/create`, {})).body as Made;
  expect(own.run.info.experiment_id).toBe('0');
  const theirs = await eve('POST', `${api}/runs/log-metric`, {
    ...metric,
    run_id: own.run.info.run_id,
    model_id,
  });
  expect(theirs.status).toBe(404);
  for (const ids of [[experiment_id], [experiment_id, '0']]) {
    const { body } = await eve('POST', `${api}/runs/search`, { experiment_ids: ids });
    expect(JSON.stringify(body)).not.toContain(run_id);
  }
  expect((await eve('GET', `/api/2.0/mlflow-artifacts/artifacts?path=${experiment_id}`)).body).toEqual({
    files: [],
  });
  expect((await eve('POST', `${api}/experiments/create`, { name: 'secret' })).status).toBe(200);
  expect((await ann('GET', `${api}/runs/get?run_id=${run_id}`)).body).toMatchObject({
    run: { info: { status: 'RUNNING', lifecycle_stage: 'active' }, data: { metrics: [] } },
  });
});

test('reading takes models:read and writing train, and refusals have the shape of MLflow', async () => {
  expect((await reader('POST', `${api}/runs/search`, { experiment_ids: ['0'] })).status).toBe(200);
  const refused = await reader('POST', `${api}/experiments/create`, { name: 'x' });
  expect(refused).toMatchObject({
    status: 403,
    body: { error_code: 'PERMISSION_DENIED', message: expect.stringContaining("'train'") },
  });
  expect((await reader('PUT', `${files}/0/x`, 'x')).status).toBe(403);
  const stranger = await fetch(`${stack.registry.origin}${api}/runs/get?run_id=x`, {
    headers: { authorization: 'Basic bWU6d3Jvbmc=' },
  });
  expect(stranger.headers.get('www-authenticate')).toMatch(/^Bearer, Basic /);
  expect([stranger.status, await stranger.json()]).toEqual([
    401,
    expect.objectContaining({ error_code: 'UNAUTHENTICATED' }),
  ]);
});
