import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runClient } from '@millrace/testing';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';

const CLIENT_TIMEOUT_MS = 150_000;
let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
  await serving.registry.add('classes', fixture('classifier'));
  await serving.registry.add('echo', fixture('echo'));
  await serving.registry.add('halves', fixture('echo_float16'));
  await serving.registry.add('texts', fixture('echo_string'));
});

afterAll(() => serving.stop());

type Seen = Record<string, unknown>;
const program = (name: string) => fileURLToPath(new URL(`./clients/${name}`, import.meta.url));

const PROBABILITIES = [expect.closeTo(0.17678195, 6), expect.closeTo(0.823218, 6)];

test(
  'tritonclient.http works as it is',
  async () => {
    const address = serving.origin.replace('http://', '');
    const seen = (await runClient('clients-triton', program('triton_http.py'), [address])) as Seen;
    const { binary, json, statistics, ...rest } = seen;
    expect(Object.entries({ ...(binary as Seen) }).filter(([, isSame]) => isSame !== true)).toEqual([]);
    expect(Object.entries({ ...(json as Seen) }).filter(([, isSame]) => isSame !== true)).toEqual([]);
    expect(Object.keys(binary as Seen)).toHaveLength(13);
    expect(statistics).toMatchObject({ inference_stats: { success: { count: 9 }, fail: { count: 0 } } });
    expect(rest).toMatchObject({
      live: true,
      ready: true,
      server: { name: 'millrace', extensions: expect.arrayContaining(['binary_tensor_data']) },
      modelReady: true,
      metadata: { name: 'classes', platform: 'onnxruntime_onnx' },
      config: { max_batch_size: 100 },
      plain: PROBABILITIES,
      gzip: PROBABILITIES,
      deflate: PROBABILITIES,
      label: PROBABILITIES,
      async: PROBABILITIES,
      custom: PROBABILITIES,
      classes: [expect.stringMatching(/^0\.823\d*:1$/), expect.stringMatching(/^0\.176\d*:0$/)],
      id: 'my id',
      many: [100, 2],
      sequence: expect.stringMatching(/^400 .*no state/),
      unknown: expect.stringMatching(/^404 /),
      wrongShape: expect.stringMatching(/^400 .*not \[1, 9\]/),
      wrongType: expect.stringMatching(/^400 .*not FP64/),
      all: expect.arrayContaining(['echo', 'classes']),
      unloaded: [{ name: 'classes', version: '1', state: 'UNAVAILABLE', reason: 'unloaded' }],
      notReady: false,
      refused: expect.stringMatching(/^503 .*unloaded/),
      again: PROBABILITIES,
      missing: expect.stringMatching(/^404 /),
    });
  },
  CLIENT_TIMEOUT_MS,
);

test(
  "kserve's REST client works as it is",
  async () => {
    const seen = (await runClient('clients-kserve', program('kserve_rest.py'), [serving.origin])) as Seen;
    const answer = { model: 'classes', label: [1], probability: [PROBABILITIES] };
    expect(seen).toMatchObject({
      live: true,
      ready: true,
      modelReady: true,
      notThere: false,
      json: { id: 'json', ...answer },
      binary: { id: 'binary', ...answer },
      mixed: ['output_probability', 'output_label', PROBABILITIES],
      allBinary: [PROBABILITIES],
      halves: [1.5, -2],
      texts: ['one', 'grün'],
      wrongShape: expect.stringContaining('400 Bad Request'),
    });
  },
  CLIENT_TIMEOUT_MS,
);
