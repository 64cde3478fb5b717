import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { unprovenEndpoints } from '../support/mlflow-support.ts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack } from '../support/registry-stack.ts';

let stack: RegistryStack;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
});
afterAll(() => stack.stop());

type Answer = { status: number; body: Record<string, unknown> };

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${stack.registry.origin}/api/2.0/mlflow/${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
const post = (path: string, body: unknown) => call('POST', path, body);

type Run = {
  info: { run_id: string; lifecycle_stage: string; run_name: string };
  data: {
    metrics: { key: string; value: number | string; step: number }[];
    params: unknown[];
    tags: unknown[];
  };
};
async function newRun(experimentId = '0', name = ''): Promise<string> {
  const { body } = await post('runs/create', { experiment_id: experimentId, run_name: name });
  return (body.run as Run).info.run_id;
}
const getRun = async (runId: string) => (await call('GET', `runs/get?run_id=${runId}`)).body.run as Run;

describe('what is logged', () => {
  test('the latest metric is that of the highest step, then timestamp, then value, whatever order it came in', async () => {
    const runId = await newRun();
    const entries = [
      [3, 30, 1],
      [5, 10, 2],
      [5, 20, 3],
      [5, 20, 7],
      [4, 99, 9],
    ] as const;
    const log = ([step, timestamp, value]: (typeof entries)[number]) =>
      post('runs/log-metric', { run_id: runId, key: 'm', value, timestamp, step });
    await Promise.all(entries.map(log));
    await log(entries[3]);
    expect((await getRun(runId)).data.metrics).toEqual([{ key: 'm', value: 7, timestamp: 20, step: 5 }]);
    const history = async (query: string) =>
      (await call('GET', `metrics/get-history?run_id=${runId}&metric_key=m${query}`)).body;
    // an entry that came twice is one
    expect(await history('')).toMatchObject({ metrics: [2, 3, 7, 1, 9].map((value) => ({ value })) });
    const first = await history('&max_results=3');
    expect(first.metrics).toHaveLength(3);
    const second = await history(`&max_results=3&page_token=${first.next_page_token as string}`);
    expect(second).toEqual({
      metrics: [expect.objectContaining({ value: 1 }), expect.objectContaining({ value: 9 })],
    });
    const other = await call(
      'GET',
      `metrics/get-history?run_id=${runId}&metric_key=n&page_token=${first.next_page_token as string}`,
    );
    expect(other).toMatchObject({ status: 400, body: { error_code: 'INVALID_PARAMETER_VALUE' } });
  });

  test('a history is thinned out over several runs at once, and keeps the first and the last step', async () => {
    const [a, b] = [await newRun(), await newRun()];
    const metrics = Array.from({ length: 100 }, (_, step) => ({
      ...{ key: 'loss', value: step / 4, timestamp: 1_000 + step, step },
    }));
    await post('runs/log-batch', { run_id: a, metrics });
    await post('runs/log-batch', { run_id: b, metrics: metrics.slice(0, 3) });
    type Sample = { run_id: string; key: string; value: number; timestamp: number; step: number };
    const sampled = async (query: string) => {
      const path = `metrics/get-history-bulk-interval?run_ids=${a}&run_ids=${b}&metric_key=loss${query}`;
      return (await call('GET', path)).body.metrics as Sample[];
    };
    const of = (all: Sample[], runId: string) => all.filter(({ run_id }) => run_id === runId);
    const thin = await sampled('&max_results=10');
    const steps = of(thin, a).map(({ step }) => step);
    expect([steps[0], steps.at(-1)]).toEqual([0, 99]);
    expect(steps).toEqual(steps.toSorted((x, y) => x - y));
    expect(steps.length).toBeGreaterThanOrEqual(10);
    expect(steps.length).toBeLessThanOrEqual(12);
    expect(of(thin, b)).toEqual(metrics.slice(0, 3).map((metric) => ({ ...metric, run_id: b })));
    const part = of(await sampled('&start_step=20&end_step=29'), a);
    expect(part.map(({ step }) => step)).toEqual(Array.from({ length: 10 }, (_, index) => 20 + index));
    expect(await call('GET', `metrics/get-history-bulk-interval?run_ids=${a}`)).toMatchObject({
      status: 400,
      body: { error_code: 'INVALID_PARAMETER_VALUE' },
    });
  });

  test('NaN and the infinities come back as they were, and all 64 bits of a number', async () => {
    const runId = await newRun();
    const values = {
      a: 'NaN',
      b: 'Infinity',
      c: '-Infinity',
      d: 5e-324,
      e: 1.7976931348623157e308,
      f: 0.1 + 0.2,
    };
    const metrics = Object.entries(values).map(([key, value]) => ({ key, value, timestamp: '1', step: 0 }));
    expect(await post('runs/log-batch', { run_id: runId, metrics })).toEqual({ status: 200, body: {} });
    const { data } = await getRun(runId);
    expect(Object.fromEntries(data.metrics.map(({ key, value }) => [key, value]))).toEqual(values);
  });

  test('a request is kept whole or not at all, and its neighbours do not suffer', async () => {
    const runId = await newRun();
    const metric = { key: 'm', value: 1, timestamp: 1, step: 0 };
    await post('runs/log-parameter', { run_id: runId, key: 'lr', value: '0.1' });
    const answers = await Promise.all([
      post('runs/log-batch', { run_id: runId, metrics: [metric], params: [{ key: 'lr', value: '0.2' }] }),
      post('runs/log-batch', {
        run_id: runId,
        params: [{ key: 'lr', value: '0.1' }],
        tags: [{ key: 't', value: 'x' }],
      }),
      post('runs/log-metric', { run_id: '0'.repeat(32), ...metric }),
      post('runs/log-metric', { run_id: runId, ...metric, key: 'n' }),
      post('runs/log-metric', { run_id: runId, ...metric, model_id: 'm-none' }),
    ]);
    expect(answers.map(({ status, body }) => `${status} ${body.error_code ?? 'ok'}`)).toEqual([
      '400 INVALID_PARAMETER_VALUE',
      '200 ok',
      '404 RESOURCE_DOES_NOT_EXIST',
      '200 ok',
      '404 RESOURCE_DOES_NOT_EXIST',
    ]);
    expect(answers[0]?.body.message).toMatch(/^Changing param values is not allowed.*'lr'.*'0.1'.*'0.2'/);
    const { data } = await getRun(runId);
    expect(data.metrics.map(({ key }) => key)).toEqual(['n']);
    expect(data.params).toEqual([{ key: 'lr', value: '0.1' }]);
  });

  test('of many that write one parameter at once, one value stands', async () => {
    const runId = await newRun();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, value) =>
        post('runs/log-parameter', { run_id: runId, key: 'p', value: String(value) }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const [kept] = (await getRun(runId)).data.params as { value: string }[];
    expect(answers[Number(kept?.value)]?.status).toBe(200);
  });

  test.each([
    [
      'runs/log-metric',
      { key: 'a#b', value: 1, timestamp: 1 },
      /^Invalid value "a#b" for parameter 'name' supplied: Names may only/,
    ],
    ['runs/log-metric', { key: '../m', value: 1, timestamp: 1 }, /must not resolve to other names/],
    ['runs/log-metric', { key: 'm', value: 'high', timestamp: 1 }, /value/],
    ['runs/log-metric', { key: 'm', value: 1, timestamp: -1 }, /nonnegative/],
    ['runs/log-metric', { key: 'm', value: 1, timestamp: 1, step: 2 ** 60 }, /within/],
    ['runs/log-metric', { key: 'm'.repeat(251), value: 1, timestamp: 1 }, /maximum length of 250/],
    ['runs/log-parameter', { key: 'p\u0000', value: '' }, /U\+0000/],
    [
      'runs/log-batch',
      {
        params: [
          { key: 'a', value: '1' },
          { key: 'a', value: '1' },
        ],
      },
      /Duplicate parameter keys/,
    ],
    [
      'runs/log-batch',
      { params: Array.from({ length: 101 }, (_, i) => ({ key: `p${i}`, value: '' })) },
      /at most 100 params. Got 101/,
    ],
    [
      'runs/log-batch',
      { metrics: Array.from({ length: 1001 }, () => ({ key: 'm', value: 1, timestamp: 1 })) },
      /at most 1000 metrics/,
    ],
    ['runs/log-model', { model_json: '[]' }, /MLmodel/],
  ])('%s refuses what MLflow refuses (%#)', async (path, fields, message) => {
    const answer = await post(path, { run_id: await newRun(), ...fields });
    expect(answer).toMatchObject({ status: 400, body: { error_code: 'INVALID_PARAMETER_VALUE' } });
    expect(answer.body.message).toMatch(message);
  });
});

test('tags of experiments are taken back, once', async () => {
  const { body } = await post('experiments/create', { name: 'tagged', tags: [{ key: 'team', value: 'a' }] });
  const experiment = { experiment_id: body.experiment_id };
  const tags = async () => {
    const { body: found } = await call('GET', `experiments/get?experiment_id=${String(body.experiment_id)}`);
    return (found.experiment as { tags?: { key: string }[] }).tags?.map(({ key }) => key) ?? [];
  };
  await post('experiments/set-experiment-tag', { ...experiment, key: 'kept', value: 'b' });
  expect((await tags()).toSorted()).toEqual(['kept', 'team']);
  expect((await post('experiments/delete-experiment-tag', { ...experiment, key: 'team' })).status).toBe(200);
  expect(await tags()).toEqual(['kept']);
  expect(await post('experiments/delete-experiment-tag', { ...experiment, key: 'team' })).toMatchObject({
    status: 404,
    body: { error_code: 'RESOURCE_DOES_NOT_EXIST' },
  });
});

test('tags of registered models are taken back', async () => {
  await post('registered-models/create', { name: 'tagged', tags: [{ key: 'team', value: 'a' }] });
  await post('registered-models/set-tag', { name: 'tagged', key: 'kept', value: 'b' });
  const tags = async () => {
    const { body } = await call('GET', 'registered-models/get?name=tagged');
    return (body.registered_model as { tags: { key: string; value: string }[] }).tags;
  };
  const remove = () => call('DELETE', 'registered-models/delete-tag', { name: 'tagged', key: 'team' });
  expect((await remove()).status).toBe(200);
  expect(await tags()).toEqual([{ key: 'kept', value: 'b' }]);
  // MLflow's store passes over what is not there
  expect((await remove()).status).toBe(200);
});

describe('what clients call in other ways', () => {
  test('searches and latest versions are asked for by GET or POST', async () => {
    const experiments = await call('GET', 'experiments/search?max_results=5&order_by=name');
    expect(experiments.body.experiments).toEqual(
      expect.arrayContaining([expect.objectContaining({ experiment_id: '0' })]),
    );
    await post('registered-models/create', { name: 'either way' });
    const models = await post('registered-models/search', { filter: "name = 'either way'" });
    expect(models.body.registered_models).toMatchObject([{ name: 'either way' }]);
    expect(await call('GET', 'registered-models/get-latest-versions?name=either%20way')).toEqual({
      status: 200,
      body: { model_versions: [] },
    });
  });

  test("a run's files are listed, and a logged model gets parameters later", async () => {
    const runId = await newRun();
    const root = `0/${runId}/artifacts`;
    const target = `${stack.registry.origin}/api/2.0/mlflow-artifacts/artifacts/${root}/out/a.txt`;
    expect((await fetch(target, { method: 'PUT', body: 'abc' })).status).toBe(200);
    expect((await call('GET', `artifacts/list?run_id=${runId}`)).body).toEqual({
      root_uri: `mlflow-artifacts:/${root}`,
      files: [{ path: 'out', is_dir: true }],
    });
    expect((await call('GET', `artifacts/list?run_id=${runId}&path=out`)).body).toMatchObject({
      files: [{ path: 'out/a.txt', is_dir: false, file_size: 3 }],
    });
    const { body } = await post('logged-models', { experiment_id: '0', name: 'm', source_run_id: runId });
    const { model_id } = (body.model as { info: { model_id: string } }).info;
    const params = [{ key: 'depth', value: '3' }];
    expect((await post(`logged-models/${model_id}/params`, { params })).status).toBe(200);
    expect((await call('GET', `logged-models/${model_id}`)).body).toMatchObject({
      model: { data: { params } },
    });
  });
});

describe('the shape of answers', () => {
  test('clients learn without a key how files are sent', async () => {
    const response = await fetch(`${stack.registry.origin}/api/3.0/mlflow/server-info`);
    expect([response.status, await response.json()]).toEqual([
      200,
      expect.objectContaining({ multipart_uploads_enabled: false, workspaces_enabled: false }),
    ]);
  });

  test("unknown endpoints, wrong bodies and missing runs are told in MLflow's words", async () => {
    const missing = [
      ...['traces/search', 'datasets/create', 'prompts/create', 'scorers/register', 'webhooks'],
      ...['gateway/endpoints/create', 'logged-models/x/artifacts/directories', 'artifacts/presigned-urls'],
    ];
    for (const path of missing)
      expect([path, await post(path, {})]).toMatchObject([
        path,
        { status: 404, body: { error_code: 'ENDPOINT_NOT_FOUND' } },
      ]);
    expect(await post('runs/search', { max_results: 0 })).toMatchObject({
      status: 400,
      body: { error_code: 'INVALID_PARAMETER_VALUE', message: expect.stringContaining('max_results') },
    });
    expect(await call('GET', 'runs/get?run_id=nonsense')).toMatchObject({
      status: 404,
      body: { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'Run with id=nonsense not found.' },
    });
    expect(await call('GET', 'runs/get')).toMatchObject({ status: 400 });
    expect(await post('runs/search', { filter: 'metrics.a > 1 OR metrics.b > 1' })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('OR is not supported') },
    });
  });

  test('experiment 0 is there and its name is taken', async () => {
    expect(await call('GET', 'experiments/get?experiment_id=0')).toMatchObject({
      body: { experiment: { experiment_id: '0', name: 'Default', artifact_location: 'mlflow-artifacts:/0' } },
    });
    expect(await post('experiments/create', { name: 'Default' })).toMatchObject({
      status: 400,
      body: { error_code: 'RESOURCE_ALREADY_EXISTS' },
    });
  });
});

describe('pages', () => {
  test('a run is the same whether it is asked for, found or changed, whatever its texts hold', async () => {
    const { body } = await post('experiments/create', { name: 'alike "quoted"' });
    const name = 'tab\t "quoted" \\ größe ✓ \u2028 \u001f';
    for (const experimentId of ['0', body.experiment_id as string]) {
      const runId = await newRun(experimentId, name);
      await post('runs/log-parameter', { run_id: runId, key: 'p', value: name });
      const search = { experiment_ids: [experimentId], filter: `attributes.run_id = '${runId}'` };
      const found = async () => ((await post('runs/search', search)).body.runs as Run[])[0];
      const open = await getRun(runId);
      expect(open.info).toMatchObject({ experiment_id: experimentId, run_name: name, status: 'RUNNING' });
      expect(open.info).not.toHaveProperty('end_time');
      expect(open.data.params).toEqual([{ key: 'p', value: name }]);
      expect(await found()).toEqual(open);
      const end = { run_id: runId, status: 'FINISHED', end_time: 1_800_000_000_000 };
      const { body: changed } = await post('runs/update', end);
      const ended = await getRun(runId);
      expect(ended.info).toEqual(changed.run_info);
      expect(ended.info).toMatchObject({ end_time: end.end_time, status: 'FINISHED' });
      expect(await found()).toEqual(ended);
    }
  });

  test('pages of runs join without gap or double, whatever the order', async () => {
    const { body } = await post('experiments/create', { name: 'pages' });
    const experimentId = body.experiment_id as string;
    const values = [0.5, 'NaN', 0.25, undefined, 'Infinity', '-Infinity', 0.5, undefined, 'NaN', 1];
    const ids: string[] = [];
    for (const [index, value] of values.entries()) {
      const made = await post('runs/create', { experiment_id: experimentId, start_time: 100 + (index % 3) });
      const runId = (made.body.run as Run).info.run_id;
      ids.push(runId);
      const metrics = value === undefined ? [] : [{ key: 'm', value, timestamp: 1, step: 0 }];
      const params = index % 2 === 0 ? [{ key: 'p', value: String(index % 4) }] : [];
      await post('runs/log-batch', { run_id: runId, metrics, params });
    }
    for (const order_by of [
      [],
      ['metrics.m DESC'],
      ['metrics.m ASC', 'start_time'],
      ['params.p'],
      ['attributes.end_time DESC'],
    ]) {
      const search = { experiment_ids: [experimentId], order_by };
      const whole = (await post('runs/search', search)).body.runs as Run[];
      expect(new Set(whole.map(({ info }) => info.run_id))).toEqual(new Set(ids));
      const paged: string[] = [];
      let page_token: string | undefined;
      do {
        const page = await post('runs/search', { ...search, max_results: 3, page_token });
        paged.push(...(page.body.runs as Run[]).map(({ info }) => info.run_id));
        page_token = page.body.next_page_token as string | undefined;
      } while (page_token !== undefined);
      expect(paged).toEqual(whole.map(({ info }) => info.run_id));
    }
  });
});

test('every endpoint that the README names this test for was answered', async () => {
  expect(await unprovenEndpoints(stack.registry.origin, 'tracking/tracking')).toEqual([]);
});
