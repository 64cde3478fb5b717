import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { askOnce, checkAnswers, modelOf } from './serving/answers.ts';
import { parseCell } from './serving/cells.ts';
import { closedLoop, openLoop } from './serving/load.ts';
import type { BenchModel, BenchModels } from './serving/models.ts';
import { makeModels } from './serving/models.ts';
import type { Dialect, Payload } from './serving/payloads.ts';
import { payloadsOf, writeRequests } from './serving/payloads.ts';
import { median, toMarkdown } from './serving/report.ts';
import { emptyResult } from './serving/rounds.ts';
import { BASELINE, SERVERS } from './serving/servers.ts';

const NEVER = new AbortController().signal;
const START_TIMEOUT_MS = 120_000;
let scratch = '';
let models: BenchModels;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'millrace-bench-test-'));
  models = await makeModels(join(scratch, 'models'));
}, START_TIMEOUT_MS);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A server that answers `{}` after `work`, with the status that it gives. */
async function startAnswering(work: (count: number) => number): Promise<{ origin: string; server: Server }> {
  let count = 0;
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      count += 1;
      response.writeHead(work(count), { 'content-length': 2 }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

function requestsFor(origin: string): string {
  const target = { host: new URL(origin).host, path: '/', headers: {} };
  const bodies = ['{"a":1}', '{"b":22}'].map((text) => ({ headers: {}, body: Buffer.from(text) }));
  return writeRequests(join(scratch, new URL(origin).port), target, bodies);
}

describe('cells', () => {
  test('are read from their names', () => {
    expect(parseCell('mlp-binary-b32-c8')).toEqual({
      name: 'mlp-binary-b32-c8',
      model: 'mlp',
      encoding: 'binary',
      rows: 32,
      connections: 8,
    });
    expect(parseCell('tiny-json-c64')).toMatchObject({ model: 'tiny', rows: 1, connections: 64 });
  });

  test.each([
    'mlp',
    'mlp-json',
    'mlp-xml-c1',
    'mlp-json-c0',
    'mlp-json-b0-c1',
    'mlp-json-c9999',
    'x-json-c1',
  ])('%s is refused with the way to write one', (name) =>
    expect(() => parseCell(name)).toThrow(`'${name}' is no cell; write model-encoding-cN`),
  );
});

describe('requests', () => {
  const awkward = Float32Array.of(
    0.1,
    1 / 3,
    3.4028234663852886e38,
    1e-45,
    -1.17549435e-38,
    16_777_217,
    0,
    -2.5,
  );
  const model: BenchModel = {
    name: 'm',
    file: '',
    input: 'x',
    output: 'y',
    shape: [2, 2],
    rows: [awkward.subarray(0, 4), awkward.subarray(4)],
    answers: [Float32Array.of(1), Float32Array.of(2)],
  };
  const encode = (dialect: Dialect, rows = 1): Payload[] => payloadsOf({ rows }, model, dialect);

  test('JSON carries every float32 exactly, in as few digits as that takes', () => {
    const [first, second] = encode('v2-json').map(({ body }) => JSON.parse(body.toString()).inputs[0]);
    expect(first).toMatchObject({ name: 'x', shape: [1, 2, 2], datatype: 'FP32' });
    expect(Float32Array.from([...first.data, ...second.data])).toEqual(awkward);
    expect(String(first.data[0])).toBe('0.1');
  });

  test('nested lists have the shape of the rows', () => {
    const [payload] = encode('bento-json', 2);
    const { inputs } = JSON.parse(payload?.body.toString() ?? '');
    expect(inputs).toHaveLength(2);
    expect(inputs[0]).toHaveLength(2);
    expect(Float32Array.from(inputs.flat(2))).toEqual(awkward);
  });

  test('binary requests hold the bytes of the rows behind a header of the stated length', () => {
    const [payload] = encode('v2-binary', 2);
    const length = Number(payload?.headers['inference-header-content-length']);
    const head = JSON.parse(payload?.body.toString('utf8', 0, length) ?? '');
    expect(head.inputs[0].parameters.binary_data_size).toBe(awkward.byteLength);
    expect(payload?.body.subarray(length)).toEqual(Buffer.from(awkward.buffer));
    expect(payload?.expected).toEqual(Float32Array.of(1, 2));
    expect(encode('octets', 2)[1]?.expected).toEqual(Float32Array.of(2, 1));
  });
});

describe('the load clients', () => {
  test('the closed loop counts answers other than 200 as errors', async () => {
    const { origin, server } = await startAnswering((count) => (count % 4 === 0 ? 500 : 200));
    const load = { origin, folder: requestsFor(origin), connections: 4, seconds: 1 };
    const told = await closedLoop('own', load, NEVER);
    server.close();
    expect(told.requestsPerSecond).toBeGreaterThan(0);
    const share = told.errors / (told.errors + told.requestsPerSecond * load.seconds);
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(0.35);
  });

  test('the open loop counts a stall for every request that was due in it', async () => {
    const stallMs = 300;
    const { origin, server } = await startAnswering((count) => {
      const end = performance.now() + (count === 500 ? stallMs : 0);
      while (performance.now() < end);
      return 200;
    });
    const load = { origin, folder: requestsFor(origin), rate: 500, seconds: 2, warmUpSeconds: 0 };
    const told = await openLoop(load, NEVER);
    server.close();
    expect(told.statuses).toEqual({ 200: 1000 });
    expect(told.unanswered).toBe(0);
    expect(told.due.maxMs).toBeGreaterThanOrEqual(stallMs * 0.99);
    // 150 of 1,000 were due while it stood still; only one of them was on its way
    expect(told.due.p99Ms).toBeGreaterThan(stallMs * 0.8);
    expect(told.sent.p50Ms).toBeLessThan(told.due.p99Ms);
  });

  test('a request that is never answered in full ends the run with a reason', async () => {
    const { origin, server } = await startAnswering(() => 200);
    server.once('request', (request) => request.socket.destroy());
    const load = { origin, folder: requestsFor(origin), connections: 1, seconds: 1 };
    await expect(closedLoop('own', load, NEVER)).rejects.toThrow('closed the connection');
    server.close();
  });
});

describe('a server', () => {
  test(
    'is started, gives the answers of onnxruntime and leaves nothing behind',
    async () => {
      const naive = SERVERS.find(({ name }) => name === BASELINE);
      const context = { models, scratch, signal: NEVER, print: () => undefined };
      const running = await naive?.start(context);
      if (running === undefined) throw new Error('there is no baseline');
      const [pid] = running.processes();
      const path = '/v2/models/tree/infer';
      const payloads = payloadsOf({ rows: 1 }, modelOf(models.byName, 'tree'), 'v2-json');
      expect(await checkAnswers(running, path, 'v2-json', payloads)).toBeLessThan(1e-6);
      const octets = payloadsOf({ rows: 3 }, modelOf(models.byName, 'mlp'), 'octets');
      expect(await checkAnswers(running, '/octets/mlp', 'octets', octets)).toBeLessThan(1e-5);
      const [first, other] = payloads as [Payload, Payload];
      const wrong = { ...first, expected: Float32Array.from(other.expected, (value) => 1 - value) };
      await expect(askOnce(running, path, 'v2-json', wrong)).rejects.toThrow('differs from onnxruntime');
      await expect(askOnce(running, '/nowhere', 'v2-json', first)).rejects.toThrow('answered 404');
      await running.stop();
      expect(() => process.kill(pid as number, 0)).toThrow('ESRCH');
    },
    START_TIMEOUT_MS,
  );
});

describe('the report', () => {
  const cell = parseCell('tiny-json-c64');
  const result = (name: string, ...rates: number[]) => ({
    ...emptyResult({
      name,
      about: 'as it is',
      endpoints: {},
      start: () => Promise.reject(new Error('none')),
    }),
    cells: {
      [cell.name]: rates.map((requestsPerSecond) => ({
        requestsPerSecond,
        p50Ms: 1,
        p99Ms: 2,
        maxMs: 3,
        errors: 1,
        processorUs: 20,
      })),
    },
  });

  test('gives medians and multiples of the baseline of the same run', () => {
    const servers = [result('fast', 5_000, 3_000, 4_000), result(BASELINE, 1_000, 3_000)];
    const text = toMarkdown({ machine: 'm', conditions: 'c', cells: [cell], servers, bare: {} });
    expect(text).toContain('| fast | 4,000 (2.00) |');
    expect(text).toContain(`| ${BASELINE} | 2,000 (1.00) |`);
    expect(text).toContain(
      '| fast | 3,000/4,000/5,000 | 2.00 | 1.00/1.00/1.00 | 2.00/2.00/2.00 | 20/20/20 | 3 |',
    );
  });

  test('names what was left out and why', () => {
    const faulty = { ...result('other'), cells: {}, fault: 'no | program' };
    const partly = { ...result('partly', 1), cellFaults: { 'mlp-json-c1': 'answered 503' } };
    const text = toMarkdown({
      machine: 'm',
      conditions: 'c',
      cells: [cell],
      servers: [faulty, partly],
      bare: {},
    });
    expect(text).toContain('| other | no \\| program |');
    expect(text).toContain('| partly, mlp-json-c1 | answered 503 |');
  });

  test('the median of an even number lies between the two in the middle', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([])).toBeNaN();
  });
});
