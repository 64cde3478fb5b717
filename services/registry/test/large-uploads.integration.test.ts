import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { moduleBundleVariables } from '@millrace/embedded';
import { eventually, isLongRun } from '@millrace/testing';
import type { Source } from './support/part-sender.ts';
import { beginUpload, bufferSource, repeated, sendParts } from './support/part-sender.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack } from './support/registry-stack.ts';

const MIB = 1024 * 1024;
/** Bytes of the weights of a large model: as many as the registry may hold in all. */
const LARGE_BYTES = (isLongRun ? 1_000 : 200) * MIB;
/** What the registry may ever have in memory, its programs included. */
const RESIDENT_BYTES_MAX = 200 * MIB;
/** How often its memory is looked at (ms). */
const SAMPLE_MS = 20;
/** Shared by the tests of a machine, as by the services of a platform. */
const COMPILE_CACHE = join(tmpdir(), 'millrace-compile-cache');
const MODEL = readFileSync(new URL('./fixtures/model.onnx', import.meta.url));
/** Model.graph, Graph.initializer, Tensor.raw_data: fields of messages and bytes. */
const [GRAPH, INITIALISER, RAW_DATA] = [7, 5, 9];

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

/** The head of a field of so many bytes. */
function fieldHead(number: number, sizeBytes: number): Buffer {
  const head = [(number << 3) | 2];
  let rest = sizeBytes;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) head.push((rest % 128) | 0x80);
  return Buffer.from([...head, rest]);
}

/** The model with one more initialiser: protobuf merges a field that comes twice. */
function onnxModel(weights: Source): Source {
  const size = fieldHead(1, weights.sizeBytes / 4).subarray(1);
  // dims, data_type float32, name
  const about = Buffer.concat([Buffer.from([0x08]), size, Buffer.from([0x10, 1, 0x42, 1, 0x77])]);
  const raw = Buffer.concat([about, fieldHead(RAW_DATA, weights.sizeBytes)]);
  const tensor = Buffer.concat([fieldHead(INITIALISER, raw.length + weights.sizeBytes), raw]);
  const head = Buffer.concat([MODEL, fieldHead(GRAPH, tensor.length + weights.sizeBytes), tensor]);
  return {
    name: 'model.onnx',
    sizeBytes: head.length + weights.sizeBytes,
    read(start, end) {
      const own = head.subarray(start, end);
      const rest = weights.read(Math.max(0, start - head.length), Math.max(0, end - head.length));
      return Buffer.concat([own, rest]);
    },
  };
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

async function sendAsForm(fields: Record<string, string>, source: Source): Promise<Response> {
  const boundary = 'millrace-large-upload';
  async function* body(): AsyncGenerator<Buffer> {
    for (const [name, value] of Object.entries(fields))
      yield Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      );
    yield Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${source.name}"\r\n\r\n`,
    );
    for (let at = 0; at < source.sizeBytes; at += MIB)
      yield source.read(at, Math.min(source.sizeBytes, at + MIB));
    yield Buffer.from(`\r\n--${boundary}--\r\n`);
  }
  return await fetch(`${origin}/model/upload`, {
    method: 'POST',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Readable.toWeb(Readable.from(body())) as ReadableStream,
    duplex: 'half',
  } as RequestInit);
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
      const response = await sendAsForm(fields, onnxModel(weights));
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
