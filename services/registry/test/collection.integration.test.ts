import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { sha256Hex } from '@millrace/integrity';
import { blobKey } from '@millrace/storage';
import { eventually } from '@millrace/testing';
import { onnxModel, sendAsForm } from './support/large-model.ts';
import type { Source } from './support/part-sender.ts';
import { repeated } from './support/part-sender.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from './support/registry-stack.ts';

/** Longer than the few calls that it must cover take on a slow machine. */
const GRACE_MS = 3_000;
const MIB = 1024 * 1024;
const MODEL = readFileSync(new URL('./fixtures/model.onnx', import.meta.url));
/** Models of the race between uploads and collections. */
const RACERS = 12;

type Amount = { objects: number; sizeBytes: number };
type Report = {
  examined: number;
  kept: number;
  quarantined: Amount;
  restored: Amount;
  freed: Amount;
  next: string | null;
};

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({
    withInference: true,
    env: { MILLRACE_STORAGE_GRACE_SECONDS: String(GRACE_MS / 1_000) },
  });
  origin = stack.registry.origin;
}, 60_000);
afterAll(() => stack?.stop());

/** Valid ONNX with bytes of its own: a field that nobody knows. */
const variant = (value: number): Buffer => Buffer.concat([MODEL, Buffer.from([0xf8, 0x3f, value])]);
const aged = () => sleep(GRACE_MS + 1_100);
const blob = async (text: string): Promise<string> => (await stack.storage.putBlob(Buffer.from(text))).sha256;

/** All pages of a collection. */
async function collect(dryRun = false): Promise<Report> {
  const total = { objects: 0, sizeBytes: 0 };
  const sum: Report = {
    examined: 0,
    kept: 0,
    quarantined: { ...total },
    restored: { ...total },
    freed: { ...total },
    next: null,
  };
  for (let after: string | null | undefined; after !== null; ) {
    const { status, body } = await postJson(`${origin}/v1/storage/collections`, {
      dryRun,
      ...(after === undefined ? {} : { after }),
    });
    expect([status, body.code]).toEqual([200, undefined]);
    const page = body as unknown as Report;
    sum.examined += page.examined;
    sum.kept += page.kept;
    for (const part of ['quarantined', 'restored', 'freed'] as const) {
      sum[part].objects += page[part].objects;
      sum[part].sizeBytes += page[part].sizeBytes;
    }
    after = page.next;
  }
  return sum;
}

const verify = async (model: string, version = 'v1') =>
  (await postJson(`${origin}/v1/models/${model}/versions/${version}/verify`, {})).status;

test('without an answer of every owner nothing is collected', async () => {
  const idle = await blob('nobody answers for me');
  await aged();
  const { status, body } = await postJson(`${origin}/v1/storage/collections`, { after: 'stored:' });
  expect([status, body.code]).toEqual([503, 'dependency_unavailable']);
  expect(await stack.storage.hasBlob(idle)).toBe(true);
  for (const name of ['datasets', 'training-orchestrator', 'converter'] as const)
    await stack.startReplica(name);
  await eventually(async () => expect((await collect(true)).quarantined.objects).toBe(1));
}, 60_000);

test('what nobody refers to leaves in two steps; a dry run only says so', async () => {
  await upload(origin, { modelId: 'kept', version: 'v1', framework: 'onnx' }, variant(1));
  const [idle, ofDataset, wanted] = [await blob('idle'), await blob('of a dataset'), await blob('wanted')];
  const datasets = await stack.startReplica('datasets');
  const made = await postJson(`${datasets.origin}/v1/datasets`, {
    name: 'd',
    description: `made of ${ofDataset}`,
  });
  expect(made.status).toBe(201);
  await aged();
  const young = await blob('young');

  const dry = await collect(true);
  expect(dry).toMatchObject({ quarantined: { objects: 3 }, freed: { objects: 0 } });
  expect(await stack.storage.hasBlob(idle)).toBe(true);

  expect(await collect()).toMatchObject({ quarantined: dry.quarantined, freed: { objects: 0 } });
  expect(await stack.storage.hasBlob(idle)).toBe(false);
  for (const sha256 of [ofDataset, young]) expect(await stack.storage.hasBlob(sha256)).toBe(true);
  expect(await verify('kept')).toBe(200);

  // whoever reads one in time has it back, and it is as before
  expect((await stack.storage.getBlobBuffer(wanted)).toString()).toBe('wanted');
  expect(await stack.storage.hasBlob(wanted)).toBe(true);

  await aged();
  const last = await collect();
  expect(last.freed).toEqual({ objects: 2, sizeBytes: 'idle'.length + 'nobody answers for me'.length });
  await expect(stack.storage.getBlob(idle)).rejects.toMatchObject({ code: 'artifact_missing' });
  expect(await verify('kept')).toBe(200);
}, 60_000);

test('the files of a version that was deleted go after it, those that another shares stay', async () => {
  const bytes = variant(2);
  for (const modelId of ['leaves', 'stays'])
    await upload(origin, { modelId, version: 'v1', framework: 'onnx' }, bytes);
  await upload(origin, { modelId: 'leaves', version: 'v2', framework: 'onnx' }, variant(3));
  const versions = `${origin}/v1/models/leaves/versions`;
  for (const version of ['v1', 'v2']) {
    await postJson(`${versions}/${version}/stage`, { stage: 'archived' });
    expect((await fetch(`${versions}/${version}`, { method: 'DELETE' })).status).toBeLessThan(300);
  }
  await aged();
  await collect();
  expect(await stack.storage.hasBlob(sha256Hex(bytes))).toBe(true);
  expect(await stack.storage.hasBlob(sha256Hex(variant(3)))).toBe(false);
  expect(await verify('stays')).toBe(200);
}, 60_000);

test('uploads that run while collections do lose no file, also where it lay there unneeded before', async () => {
  // the very bytes that will be uploaded, old and without a reference: an upload finds them and does not write them
  for (let i = 0; i < RACERS; i += 1) await stack.storage.putBlob(variant(100 + i));
  await aged();
  let isOver = false;
  const quarantined: number[] = [];
  const collecting = (async () => {
    while (!isOver) quarantined.push((await collect()).quarantined.objects);
  })();
  const lane = async (from: number) => {
    for (let i = from; i < RACERS; i += 3) {
      const fields = { modelId: `racer-${i}`, version: 'v1', framework: 'onnx' };
      const { status, body } = await upload(origin, fields, variant(100 + i));
      expect([status, body.code]).toEqual([201, undefined]);
    }
  };
  await Promise.all([lane(0), lane(1), lane(2)]);
  isOver = true;
  await collecting;
  // some were taken out of use before their upload came, or while it ran
  expect(quarantined.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  await aged();
  await collect();
  await collect();
  for (let i = 0; i < RACERS; i += 1) {
    expect([i, await verify(`racer-${i}`)]).toEqual([i, 200]);
    const { files } = (await getJson(`${origin}/v1/models/racer-${i}/versions/v1`)).body as {
      files: { sha256: string }[];
    };
    for (const { sha256 } of files) expect(await stack.storage.headObject(blobKey(sha256))).not.toBeNull();
  }
}, 120_000);

test('what a process that was killed half way through an upload left behind is removed, and nothing else', async () => {
  const { storage } = stack;
  const id = newId();
  const [key, stored, half] = [`uploads/${id}/0`, `uploads/${id}/1`, blobKey(sha256Hex('half written'))];
  await storage.beginParts(key, { isChecked: true });
  await storage.putObject(stored, Buffer.from('left'));
  await storage.beginParts(half);
  // one that can still be completed, of the same age
  const [file, partSizeBytes] = [variant(77), 5 * 1024 * 1024];
  const sha256 = sha256Hex(file);
  const files = [
    { name: 'model.onnx', sizeBytes: file.length, sha256, partSizeBytes, partDigests: [sha256] },
  ];
  const open = await postJson(`${origin}/v1/uploads`, {
    ...{ modelId: 'open', version: 'v1', framework: 'onnx', files },
  });
  const { parts } = open.body as { parts: { items: { url: string; headers: Record<string, string> }[] } };
  const { url = '', headers = {} } = parts.items[0] ?? {};
  const sent = await fetch(url, { method: 'PUT', body: Uint8Array.from(file), headers });
  expect([open.status, sent.status]).toEqual([201, 200]);
  await aged();
  const first = async (dryRun: boolean) =>
    (await postJson(`${origin}/v1/storage/collections`, { dryRun })).body.abandoned;
  expect(await first(true)).toEqual({ objects: 3, sizeBytes: 4 });
  expect(await first(false)).toEqual({ objects: 3, sizeBytes: 4 });
  expect(await first(false)).toEqual({ objects: 0, sizeBytes: 0 });
  expect(await storage.headObject(stored)).toBeNull();
  expect(await storage.listPartUploads('cas/', 10)).toEqual([]);
  const end = await postJson(`${origin}/v1/uploads/${String(open.body.id)}/complete`, {});
  expect(end).toMatchObject({ status: 201 });
}, 60_000);

test('a registry that is killed at any stage of an upload leaves a whole version or nothing', async () => {
  const sources = ['half', 'all', 'later'].map((name, i) => onnxModel(repeated(name, (16 + i) * MIB)));
  const stages: [number, number][] = [
    [0.5, 0],
    [1, 0],
    [1, 150],
  ];
  const whole = new Set<string>();
  for (const [i, [share, afterMs]] of stages.entries()) {
    const tmp = mkdtempSync(join(tmpdir(), 'killed-upload-'));
    const source = sources[i] as Source;
    const victim = await stack.startReplica('registry', { TMPDIR: tmp });
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    const fields = { modelId: 'killed', version: `v${i}`, framework: 'onnx' };
    const answer = sendAsForm(victim.origin, fields, source, (sent) => {
      if (sent >= share * source.sizeBytes) resolve();
    }).then(
      ({ status }) => status,
      () => 'cut off',
    );
    await reached;
    await sleep(afterMs);
    await victim.killHard();
    const said = await answer;
    expect(readdirSync(tmp).filter((name) => name.startsWith('millrace-'))).toEqual([]);
    rmSync(tmp, { recursive: true });
    const { status } = await getJson(`${origin}/v1/models/killed/versions/v${i}`);
    if (status === 200) whole.add(sha256Hex(source.read(0, source.sizeBytes)));
    // what was answered is there; what was not may be, but then as a whole
    expect(said === 201 ? status : 200).toBe(200);
    if (status === 200) expect(await verify('killed', `v${i}`)).toBe(200);
  }
  await aged();
  await collect();
  await aged();
  await collect();
  expect(await stack.storage.listPartUploads('cas/', 10)).toEqual([]);
  for (const source of sources) {
    const sha256 = sha256Hex(source.read(0, source.sizeBytes));
    expect(await stack.storage.hasBlob(sha256)).toBe(whole.has(sha256));
  }
}, 180_000);
