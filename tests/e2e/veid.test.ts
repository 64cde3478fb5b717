import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Platform } from '@millrace/embedded';
import { environmentsRoot, openHome, startPlatform } from '@millrace/embedded';
import { eventually, isLongRun } from '@millrace/testing';
import type { Json } from './platform.ts';
import { cli } from './platform.ts';

const START_TIMEOUT_MS = 120_000;
const JOB_TIMEOUT_MS = 300_000;
const TINY = { epochs: 1, batchSize: 16, filters: 8, baselines: false };
/** The three models in sizes that say nothing of their quality, and what they take and give. */
const MODELS = {
  'veid-face': {
    dataset: { identities: 12, heldoutIdentities: 6, views: 4 },
    input: [-1, 2, 64, 64, 1],
    output: [-1, 1],
  },
  'veid-liveness': {
    dataset: { samples: 48, heldoutSamples: 24 },
    input: [-1, 64, 64, 3],
    output: [-1, 1],
  },
  'veid-ocr': {
    dataset: { samples: 48, heldoutSamples: 16 },
    input: [-1, 24, 192, 1],
    output: [-1, -1, 42],
  },
} as const;
/** Of a line of 192 pixels; the graph leaves their number open. */
const FRAMES = 96;
type Name = keyof typeof MODELS;

const root = mkdtempSync(join(tmpdir(), 'millrace-e2e-'));
let platform: Platform | undefined;

async function start(threads: string): Promise<void> {
  platform = await startPlatform({
    home: openHome(root),
    environmentsFolder: environmentsRoot(process.env),
    env: {
      ...process.env,
      MILLRACE_TEST_LONG: undefined,
      MILLRACE_WORKER_POOLS: 'cpu',
      MILLRACE_GATEWAY_PORT: '0',
      MILLRACE_INFERENCE_PORT: '0',
      MILLRACE_GRPC_PORT: '0',
      MILLRACE_TRAIN_INTRA_THREADS: threads,
    },
  });
}

async function call(method: string, path: string, body?: unknown): Promise<Json> {
  const response = await fetch(`${platform?.connection.gateway}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as Json;
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.code} ${answer.detail}`);
  return answer;
}

/** The version that a pipeline makes of a recipe. */
async function trained(recipe: Name, dataset: Json): Promise<Json> {
  const { id } = await call('POST', '/v1/pipelines', {
    recipe,
    params: TINY,
    dataset: { params: dataset },
    model: { name: recipe },
  });
  const { modelVersion } = await eventually(
    async () => {
      const pipeline = await call('GET', `/v1/pipelines/${id}`);
      expect(pipeline).toMatchObject({ error: null });
      if (pipeline.state !== 'succeeded') throw new Error(`still at ${pipeline.stage}`);
      return pipeline;
    },
    { timeoutMs: JOB_TIMEOUT_MS, intervalMs: 300 },
  );
  return call('GET', `/v1/models/${recipe}/versions/${modelVersion.version}`);
}

const millrace = (...args: string[]): Promise<string> => cli({ root } as Parameters<typeof cli>[0], ...args);

beforeAll(async () => {
  chmodSync(root, 0o755);
  await start('2');
}, START_TIMEOUT_MS);

afterAll(async () => {
  await platform?.stop();
  rmSync(root, { recursive: true, force: true });
}, 60_000);

test.each(Object.keys(MODELS) as Name[])(
  '%s is trained, signed, approved by its digest, served, and scores held-out pictures',
  async (name) => {
    const { dataset, input, output } = MODELS[name];
    const { version, modelDigest, files } = await trained(name, dataset);
    const paths = files.map(({ path }: Json) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['frozen_graph.pb', 'metrics.json', 'model.onnx', 'saved_model/saved_model.pb']),
    );
    expect(JSON.parse(await millrace('verify', name, '--json'))).toMatchObject({ verified: true });
    expect(await call('GET', `/v2/models/${name}`)).toMatchObject({
      inputs: [{ name: 'input', datatype: 'FP32', shape: input }],
      outputs: [{ name: 'output_0', datatype: 'FP32', shape: output }],
    });

    // a validator asks for the digest before and after the approval
    await call('PUT', `/v1/models/${name}/policy`, {
      approvalsRequired: { production: 1 },
      registrantMayApprove: true,
    });
    await expect(millrace('approved', modelDigest)).rejects.toMatchObject({ code: 1 });
    await millrace('approvals', 'give', `${name}@${version}`);
    expect(JSON.parse(await millrace('approved', modelDigest, '--json'))).toMatchObject({ approved: true });

    const parts = await call('GET', `/v1/models/${name}/versions/${version}/bundle-parts`);
    const url = (path: string) => parts.files.find((file: Json) => file.path === path).url;
    const { shape, examples } = (await (await fetch(url('examples.json'))).json()) as Json;
    const pixels = new Uint8Array(await (await fetch(url('examples.u8'))).arrayBuffer());
    const { outputs } = await call('POST', `/v2/models/${name}/infer`, {
      inputs: [{ name: 'input', datatype: 'FP32', shape, data: [...pixels] }],
    });
    expect(outputs[0].shape).toEqual([
      shape[0],
      ...output.slice(1).map((side) => (side < 0 ? FRAMES : side)),
    ]);
    expect(Math.min(...outputs[0].data)).toBeGreaterThan(0);
    expect(Math.max(...outputs[0].data)).toBeLessThan(1);
    expect(new Set(outputs[0].data).size).toBeGreaterThan(examples.length / 2);
  },
  JOB_TIMEOUT_MS,
);

/** The version of liveness, trained again from its signed provenance. */
const rebuilt = async (): Promise<Json> =>
  // what is not bit-identical has another exit code, and the same answer on stdout
  JSON.parse(await millrace('verify-rebuild', 'veid-liveness', '--json').catch((error) => error.stdout));

test(
  'a rebuild proves the bits',
  async () => expect(await rebuilt()).toMatchObject({ verdict: 'bit-identical', limits: [] }),
  JOB_TIMEOUT_MS,
);

// the platform starts once more for it
if (isLongRun)
  test(
    'a rebuild on another number of threads says that it cannot prove them',
    async () => {
      await platform?.stop();
      await start('1');
      const { verdict, limits } = await rebuilt();
      expect(verdict).not.toBe('bit-identical');
      expect(limits).toEqual([expect.stringMatching(/number of threads differs: 2\/1 then, 1\/1 now/)]);
    },
    JOB_TIMEOUT_MS,
  );
