import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { moduleBundleVariables } from '@millrace/embedded';
import { eventually, isLongRun } from '@millrace/testing';
import { onnxModel, sendAsForm } from './support/large-model.ts';
import type { Source } from './support/part-sender.ts';
import { beginUpload, bufferSource, repeated, sendParts } from './support/part-sender.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack } from './support/registry-stack.ts';

const MIB = 1024 * 1024;
/** Bytes of the weights of a large model: with what the registry holds when idle they are more than it may have. */
const LARGE_BYTES = (isLongRun ? 1_000 : 120) * MIB;
/** What the registry may ever have in memory, its programs included. */
const RESIDENT_BYTES_MAX = 200 * MIB;
/** How often its memory is looked at (ms). */
const SAMPLE_MS = 20;
/** Shared by the tests of a machine, as by the services of a platform. */
const COMPILE_CACHE = join(tmpdir(), 'millrace-compile-cache');
/** How the launcher starts a registry: its heap is bounded, its packages come from a bundle. */
async function asLaunched(): Promise<NodeJS.ProcessEnv> {
  const { NODE_OPTIONS = '', ...bundle } = await moduleBundleVariables(process.execPath, console.warn);
  const flags = `${NODE_OPTIONS} --max-semi-space-size=2 --max-old-space-size=256`;
  return { ...bundle, NODE_OPTIONS: flags, NODE_COMPILE_CACHE: COMPILE_CACHE };
}

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false, env: await asLaunched() });
  origin = stack.registry.origin;
});
afterAll(() => stack?.stop());

/** A TF.js model with one weight file. */
function tfjsModel(weights: Source): Source[] {
  const units = weights.sizeBytes / 4 / 256;
  const config = { name: 'd', units, use_bias: false, activation: 'linear', batch_input_shape: [null, 256] };
  const json = {
    format: 'layers-model',
    modelTopology: {
      class_name: 'Sequential',
      config: { name: 's', layers: [{ class_name: 'Dense', config }] },
    },
    weightsManifest: [
      { paths: [weights.name], weights: [{ name: 'd/kernel', shape: [256, units], dtype: 'float32' }] },
    ],
  };
  return [bufferSource('model.json', Buffer.from(JSON.stringify(json))), weights];
}

/** Memory of the registry: what is its own, and its share of what processes have in common (PSS). */
function residentBytes(): number {
  const text = readFileSync(`/proc/${stack.registry.pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
}

/** The most of it while something is done. */
async function residentBytesMax(work: Promise<void>): Promise<number> {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentBytes());
  }, SAMPLE_MS);
  await work.finally(() => clearInterval(timer));
  return peak;
}

async function sendInParts(fields: Record<string, string>, sources: readonly Source[]): Promise<void> {
  const { status, body } = await beginUpload(origin, fields, sources);
  expect(status).toBe(201);
  await sendParts(origin, body, sources);
  await postJson(`${origin}/v1/uploads/${body.id}/complete`, {});
  await eventually(
    async () => {
      const { state, error } = (await getJson(`${origin}/v1/uploads/${body.id}`)).body;
      expect({ state, error }).toEqual({ state: 'completed', error: null });
    },
    { timeoutMs: 240_000 },
  );
}

test.each<[string, (weights: Source) => Promise<void>]>([
  [
    'an ONNX file in parts',
    (weights) =>
      sendInParts({ modelId: 'onnx-parts', version: 'v1', framework: 'onnx' }, [onnxModel(weights)]),
  ],
  [
    'an ONNX file as a form',
    async (weights) => {
      const fields = { modelId: 'onnx-form', version: 'v1', framework: 'onnx' };
      const response = await sendAsForm(origin, fields, onnxModel(weights));
      expect([response.status, await response.json()]).toEqual([201, expect.anything()]);
    },
  ],
  [
    'a TF.js model in parts',
    (weights) =>
      sendInParts({ modelId: 'tfjs-parts', version: 'v1', framework: 'tensorflow' }, tfjsModel(weights)),
  ],
])(
  `${LARGE_BYTES / MIB} MiB as %s pass through within ${RESIDENT_BYTES_MAX / MIB} MiB of memory`,
  async (_way, send) => {
    const peak = await residentBytesMax(send(repeated('weights.bin', LARGE_BYTES)));
    if (isLongRun) console.info(`The registry had at most ${Math.round(peak / MIB)} MiB in memory.`);
    expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThan(RESIDENT_BYTES_MAX);
  },
  300_000,
);
