import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ModelStatistics } from '../../src/server/server-control.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

let serving: Serving;

beforeAll(async () => {
  serving = await startServing({ MILLRACE_TRITON_METRICS: 'true' });
});

afterAll(() => serving.stop());

type Reply = { status: number; headers: Headers; body: unknown };

async function call(method: string, path: string, body?: unknown): Promise<Reply> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(`${serving.origin}/v2${path}`, { method, ...(text && { body: text }) });
  const answer = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: answer === '' ? undefined : JSON.parse(answer),
  };
}

const post = (path: string, body?: unknown) => call('POST', path, body);
const get = (path: string) => call('GET', path);
const rowsOf = (rows: number) => ({
  inputs: [
    { name: 'float_input', datatype: 'FP32', shape: [rows, 10], data: new Array(rows).fill(ROW).flat() },
  ],
});

describe('load, unload and index', () => {
  const stateOf = async (name: string, body?: unknown) => {
    const index = (await post('/repository/index', body)).body as { name: string; version: string }[];
    return index.filter((entry) => entry.name === name);
  };

  test('a version that was unloaded by name stays out until it is loaded by name', async () => {
    await serving.registry.add('moves', fixture('classifier'));
    await serving.registry.add('moves', fixture('classifier'), { version: 'second' });
    expect(await stateOf('moves')).toEqual([]);
    expect(await post('/repository/models/moves/versions/second/load')).toMatchObject({
      status: 200,
      body: undefined,
    });
    expect(await stateOf('moves')).toEqual([{ name: 'moves', version: '2', state: 'READY', reason: '' }]);
    expect((await get('/models')).body).toEqual({ models: ['moves'] });
    expect((await post('/models/moves/versions/1/infer', rowsOf(1))).status).toBe(200);
    expect((await get('/models/moves')).body).toMatchObject({ versions: ['1', '2'] });

    expect((await post('/repository/models/moves/versions/2/unload')).status).toBe(200);
    expect(await stateOf('moves')).toEqual([
      { name: 'moves', version: '1', state: 'READY', reason: '' },
      { name: 'moves', version: '2', state: 'UNAVAILABLE', reason: 'unloaded' },
    ]);
    expect(await stateOf('moves', { ready: true })).toHaveLength(1);
    const refused = await post('/models/moves/versions/second/infer', rowsOf(1));
    expect(refused).toMatchObject({ status: 503, body: { code: 'model_not_ready' } });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect((await get('/models/moves/versions/2/ready')).status).toBe(503);
    expect((await serving.classify('moves')).status).toBe(503);
    expect((await post('/models/moves/versions/1/infer', rowsOf(1))).status).toBe(200);

    expect((await post('/repository/models/moves/versions/2/load', {})).status).toBe(200);
    expect((await post('/models/moves/infer', rowsOf(1))).status).toBe(200);
  });

  test('a model as a whole', async () => {
    await serving.registry.add('whole', fixture('classifier'));
    await serving.registry.add('whole', fixture('classifier'));
    await post('/repository/models/whole/load');
    await post('/repository/models/whole/unload', { parameters: { unload_dependents: true } });
    for (const path of ['', '/versions/1', '/versions/2'])
      expect((await post(`/models/whole${path}/infer`, rowsOf(1))).status).toBe(503);
    // one version by name, then all of them
    await post('/repository/models/whole/versions/1/load');
    expect((await post('/models/whole/versions/1/infer', rowsOf(1))).status).toBe(200);
    expect((await post('/models/whole/versions/2/infer', rowsOf(1))).status).toBe(503);
    await post('/repository/models/whole/load');
    expect((await post('/models/whole/versions/2/infer', rowsOf(1))).status).toBe(200);
  });

  test('a version that cannot be loaded says why', async () => {
    await serving.registry.add('broken', Buffer.from('not a model'));
    expect(await post('/repository/models/broken/load')).toMatchObject({
      status: 422,
      body: { error: expect.stringContaining('runtime refused'), code: 'model_load_failed' },
    });
    expect(await stateOf('broken')).toMatchObject([
      { version: '1', state: 'UNAVAILABLE', reason: expect.stringContaining('runtime refused') },
    ]);
  });

  test.each<[string, unknown, number, string]>([
    ['/repository/models/none/load', undefined, 404, 'model_not_found'],
    ['/repository/models/moves/versions/9/load', undefined, 404, 'version_not_found'],
    ['/repository/models/none/unload', undefined, 404, 'model_not_found'],
    ['/repository/models/moves/load', { parameters: { config: '{}' } }, 400, 'invalid_request'],
    ['/repository/models/moves/load', { parameters: { 'file:1/model.onnx': 'x' } }, 400, 'invalid_request'],
    ['/repository/models/moves/load', [], 400, 'invalid_request'],
    ['/repository/index', { ready: 'yes' }, 400, 'invalid_request'],
    ['/repository/models/a%2Fb/load', undefined, 400, 'invalid_name'],
  ])('%s with %j is %i %s', async (path, body, status, code) => {
    expect(await post(path, body)).toMatchObject({ status, body: { code, error: expect.any(String) } });
  });
});

describe('statistics and configuration', () => {
  const stats = async (path = '/models/counted/stats') =>
    ((await get(path)).body as { model_stats: ModelStatistics[] }).model_stats;

  test('counts and times are those of the requests', async () => {
    await serving.registry.add('counted', fixture('classifier'));
    expect(await get('/models/counted/stats')).toMatchObject({
      status: 503,
      body: { code: 'model_not_ready' },
    });
    await post('/repository/models/counted/load');
    const before = Date.now();
    const started = performance.now();
    for (const rows of [1, 1, 3])
      expect((await post('/models/counted/infer', rowsOf(rows))).status).toBe(200);
    const elapsedNs = (performance.now() - started) * 1e6;
    const [counted] = (await stats()) as [ModelStatistics];
    expect(counted).toMatchObject({
      name: 'counted',
      version: '1',
      inference_count: 5,
      execution_count: 3,
      inference_stats: {
        success: { count: 3 },
        fail: { count: 0, ns: 0 },
        queue: { count: 3 },
        compute_input: { count: 3 },
        compute_infer: { count: 3 },
        compute_output: { count: 3 },
        cache_hit: { count: 0, ns: 0 },
        cache_miss: { count: 0, ns: 0 },
      },
      memory_usage: [{ type: 'CPU', id: 0, byte_size: expect.any(Number) }],
    });
    expect(counted.batch_stats.map((one) => [one.batch_size, one.compute_infer.count])).toEqual([
      [1, 2],
      [3, 1],
    ]);
    expect(counted.last_inference).toBeGreaterThanOrEqual(before);
    // the parts are positive and no longer than the whole, and the whole no longer than the requests
    const { success, queue, compute_input, compute_infer, compute_output } = counted.inference_stats;
    const parts = queue.ns + compute_input.ns + compute_infer.ns + compute_output.ns;
    expect(Math.min(queue.ns, compute_input.ns, compute_infer.ns, compute_output.ns)).toBeGreaterThan(0);
    expect(parts).toBeLessThanOrEqual(success.ns);
    expect(success.ns).toBeLessThanOrEqual(elapsedNs);
    // without joined runs, the runs add up to the requests
    expect(counted.batch_stats.reduce((sum, one) => sum + one.compute_infer.ns, 0)).toBe(compute_infer.ns);
    expect(await stats('/models/counted/versions/v1/stats')).toEqual([counted]);
    expect((await stats('/models/stats')).map(({ name }) => name)).toContain('counted');
  });

  test('the series of Triton say the same', async () => {
    const text = await (await fetch(`${serving.origin}/metrics`)).text();
    const [counted] = (await stats()) as [ModelStatistics];
    const value = (name: string, more = '') => {
      const series = `nv_inference_${name}{model="counted",version="1"${more},service="inference"} `;
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(series))
          ?.slice(series.length),
      );
    };
    expect([value('request_success'), value('count'), value('exec_count')]).toEqual([3, 5, 3]);
    expect(value('compute_infer_duration_us')).toBe(
      Math.round(counted.inference_stats.compute_infer.ns / 1000),
    );
    expect(value('request_duration_us')).toBe(Math.round(counted.inference_stats.success.ns / 1000));
    expect(value('pending_request_count')).toBe(0);
    expect(value('request_failure', ',reason="REJECTED"')).toBe(0);
    expect(text).toContain('# TYPE nv_inference_request_success counter');
  });

  test('a request that fails in the model is counted as such', async () => {
    await serving.registry.add('failing', fixture('expander'));
    const ask = (n: number) =>
      post('/models/failing/infer', { inputs: [{ name: 'n', datatype: 'INT64', shape: [1], data: [n] }] });
    expect((await ask(3)).body).toMatchObject({ outputs: [{ shape: [3], data: [0, 0, 0] }] });
    expect(await ask(100_000_000)).toMatchObject({ status: 500, body: { code: 'output_too_large' } });
    const [failing] = (await stats('/models/failing/stats')) as [ModelStatistics];
    const { success, fail } = failing.inference_stats;
    expect([success.count, fail.count, failing.inference_count]).toEqual([1, 1, 1]);
    expect(fail.ns).toBeGreaterThan(0);
  });

  test('the configuration says how a version is served', async () => {
    expect((await get('/models/counted/config')).body).toMatchObject({
      name: 'counted',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      max_batch_size: 100,
      input: [{ name: 'float_input', data_type: 'TYPE_FP32', dims: [10] }],
      output: [
        { name: 'output_label', data_type: 'TYPE_INT64', dims: [] },
        { name: 'output_probability', data_type: 'TYPE_FP32', dims: [2] },
      ],
      dynamic_batching: { max_queue_delay_microseconds: 0 },
      default_model_filename: 'model.onnx',
    });
    expect(await get('/models/counted/versions/7/config')).toMatchObject({ status: 404 });
  });
});

describe('requests', () => {
  test('a more urgent request is run first', async () => {
    await serving.registry.add('urgent', fixture('spinner'));
    const spin = async (turns: number, priority: number) => {
      const inputs = [{ name: 'turns', datatype: 'INT64', shape: [1], data: [turns] }];
      const { status } = await post('/models/urgent/infer', { inputs, parameters: { priority } });
      return { priority, status };
    };
    await spin(1, 0);
    const order: number[] = [];
    const running = [spin(20_000, 0), spin(20_000, 0)];
    await new Promise((resolve) => setTimeout(resolve, 50));
    const waiting = [9, 0, 99, 2, 1].map(async (priority) => {
      const answer = await spin(2_000, priority);
      expect(answer.status).toBe(200);
      order.push(priority);
    });
    await Promise.all([...running, ...waiting]);
    // 0 and what is over the levels are the default, in the middle
    expect(order).toEqual([1, 2, 0, 99, 9]);
  });

  test('a timeout is in microseconds and counts before the run', async () => {
    const inputs = [{ name: 'turns', datatype: 'INT64', shape: [1], data: [40_000] }];
    const slow = [post('/models/urgent/infer', { inputs }), post('/models/urgent/infer', { inputs })];
    await new Promise((resolve) => setTimeout(resolve, 50));
    const late = await post('/models/urgent/infer', { inputs, parameters: { timeout: 1_000 } });
    expect(late).toMatchObject({ status: 504, body: { code: 'deadline_exceeded' } });
    await Promise.all(slow);
    const [urgent] = ((await get('/models/urgent/stats')).body as { model_stats: [ModelStatistics] })
      .model_stats;
    expect(urgent.inference_stats.fail.count).toBe(1);
  });

  test('Server-Timing has the parts of the answer', async () => {
    const parts = /^queue;dur=[\d.e-]+, compute;dur=[\d.e-]+, serialise;dur=[\d.e-]+$/;
    const { headers } = await post('/models/counted/infer', rowsOf(1));
    expect(headers.get('server-timing')).toMatch(parts);
    const predicted = await serving.classify('counted');
    expect(predicted.headers.get('server-timing')).toMatch(parts);
  });

  test.each([
    ['PUT', '/models/counted/infer', 'POST'],
    ['GET', '/models/counted/versions/1/infer', 'POST'],
    ['POST', '/models/counted/stats', 'GET, HEAD'],
    ['DELETE', '/models/counted', 'GET, HEAD'],
    ['GET', '/repository/index', 'POST'],
    ['POST', '/health/live', 'GET, HEAD'],
  ])('%s %s is not possible', async (method, path, allow) => {
    const answer = await call(method, path, method === 'GET' ? undefined : {});
    expect(answer).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(answer.headers.get('allow')).toBe(allow);
  });

  test.each([
    ['/models/none/infer', 404],
    ['/models/counted/versions/99/infer', 404],
    ['/no/such/path', 404],
  ])('POST %s is %i with an error text', async (path, status) => {
    expect(await post(path, rowsOf(1))).toMatchObject({ status, body: { error: expect.any(String) } });
  });
});
