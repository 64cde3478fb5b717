import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { callRpc } from '@millrace/bus';
import { HistoryAdvanced, resolveVersionMethod } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack, upload } from '../support/registry-stack.ts';
import { ask } from '../support/rollout-requests.ts';

const model = readFileSync(new URL('../fixtures/model.onnx', import.meta.url));
const other = readFileSync(new URL('../fixtures/other.onnx', import.meta.url));

type Entry = Record<string, unknown>;
let stack: RegistryStack;
const heads: Entry[] = [];

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  stack.bus.nc.subscribe(HistoryAdvanced.subject, {
    callback: (_error, message) => {
      heads.push(message.json());
    },
  });
}, 60_000);
afterAll(() => stack?.stop());

const call = (method: string, path: string, body?: unknown) =>
  ask(method, `${stack.registry.origin}/v1/models${path}`, {}, body);
const add = (modelId: string, version: string, file: Uint8Array, fields: Record<string, string> = {}) =>
  upload(stack.registry.origin, { modelId, version, framework: 'onnx', ...fields }, file);
const history = async (name: string): Promise<Entry[]> =>
  ((await call('GET', `/${name}/history?limit=500`)).body.items as { entry: Entry }[]).map(
    ({ entry }) => entry,
  );
const actions = async (name: string) => (await history(name)).map(({ action }) => action);

test('tags and descriptions merge, are found by lists, and only real changes are history', async () => {
  expect(await call('POST', '', { name: 'spoken', tags: { team: 'risk' } })).toMatchObject({
    status: 201,
    body: { name: 'spoken', tags: { team: 'risk' }, versions: 0, latest: null },
  });
  expect(await call('POST', '', { name: 'spoken' })).toMatchObject({
    status: 409,
    body: { code: 'model_conflict' },
  });
  const change = { description: 'Scores.', tags: { team: null, tier: '1', 'a=b': 'c' } };
  expect((await call('PATCH', '/spoken', change)).body).toMatchObject({
    description: 'Scores.',
    tags: { tier: '1', 'a=b': 'c' },
  });
  await call('PATCH', '/spoken', { description: 'Scores.', tags: { tier: '1', absent: null } });
  expect(await actions('spoken')).toEqual(['model-created', 'model-updated']);

  await add('spoken', 'v1', model);
  await add('spoken', 'v2', other);
  const patched = await call('PATCH', '/spoken/versions/v2', { description: 'Better.', tags: { ok: 'yes' } });
  expect(patched.body).toMatchObject({ version: 'v2', description: 'Better.', tags: { ok: 'yes' } });
  expect((await history('spoken')).at(-1)).toMatchObject({
    action: 'version-updated',
    version: 'v2',
    tags: { ok: 'yes' },
    by: 'local',
  });

  const names = async (query: string) =>
    ((await call('GET', `?${query}`)).body.items as Entry[]).map(({ name }) => name);
  expect(await names('search=SPOK')).toEqual(['spoken']);
  expect(await names('search=%25')).toEqual([]);
  expect(await names('tag=tier%3D1')).toEqual(['spoken']);
  expect(await names('tag=tier%3D2')).toEqual([]);
  expect(await names('tag=team')).toEqual([]);
  const labels = async (query: string) =>
    ((await call('GET', `/spoken/versions?${query}`)).body.items as Entry[]).map(({ version }) => version);
  expect(await labels('tag=ok')).toEqual(['v2']);
  expect(await labels(`packageDigest=${patched.body.packageDigest}`)).toEqual(['v2']);
  expect(await labels('stage=production')).toEqual([]);
});

test.each<[string, unknown, RegExp]>([
  ['an unknown field', { tag: {} }, /'tag' that is not known/],
  ['a tag that is no text', { tags: { a: 1 } }, /tags/],
  ['half a character', { tags: { a: '\ud800' } }, /half a character/],
  ['a NUL', { description: 'a\u0000b' }, /NUL/],
  ['a tag that is too long', { tags: { a: 'x'.repeat(5_001) } }, /5000/],
  [
    'too many tags',
    { tags: Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`t${i}`, '']).slice(0, 201)) },
    /200/,
  ],
])('%s is refused', async (_what, body, message) => {
  await call('POST', '', { name: 'bounds' });
  const answer = await call('PATCH', '/bounds', body);
  expect(answer.status).toBe(400);
  expect(answer.body.detail).toMatch(message);
});

test('a model keeps its name once it had a version', async () => {
  await call('POST', '', { name: 'draft' });
  expect((await call('PATCH', '/draft', { name: 'spoken' })).body).toMatchObject({ code: 'model_conflict' });
  expect((await call('PATCH', '/draft', { name: 'final' })).body).toMatchObject({ name: 'final' });
  expect((await call('GET', '/draft')).status).toBe(404);
  expect(await call('PATCH', '/spoken', { name: 'written' })).toMatchObject({
    status: 409,
    body: { code: 'model_in_use', detail: expect.stringMatching(/predictions name it/) },
  });
});

test('a version is deleted only when nothing leads to it; the history keeps it', async () => {
  await add('leaving', 'v1', model);
  await add('leaving', 'v2', other);
  const path = '/leaving/versions';
  const refused = async (version: string, why: RegExp) => {
    const { status, body } = await call('DELETE', `${path}/${version}`);
    expect([status, body.code]).toEqual([409, 'version_in_use']);
    expect(body.detail).toMatch(why);
  };
  await refused('v2', /answers requests that name no version; archive it/);
  await call('POST', `${path}/v1/stage`, { stage: 'production' });
  await refused('v1', /is in production/);
  await call('PUT', '/leaving/aliases/next', { version: 'v2' });
  await refused('v2', /has the alias next/);
  expect((await call('DELETE', '/leaving')).body).toMatchObject({ code: 'version_in_use' });
  await call('DELETE', '/leaving/aliases/next');
  expect((await call('DELETE', `${path}/v2`)).status).toBe(204);
  expect((await call('GET', `${path}/v2`)).body).toMatchObject({ code: 'version_not_found' });
  await expect(
    callRpc(stack.bus, 'registry', 'resolve', resolveVersionMethod, { model: 'leaving', version: 'v2' }),
  ).rejects.toMatchObject({ code: 'version_not_found' });
  expect((await history('leaving')).at(-1)).toMatchObject({
    action: 'version-deleted',
    version: 'v2',
    ordinal: 2,
  });
  // an ordinal is never given twice
  await add('leaving', 'v3', other);
  expect((await call('GET', `${path}/v3`)).body).toMatchObject({ ordinal: 3 });
});

test('a deleted model frees its name and keeps its history', async () => {
  await add('gone', 'v1', model);
  const { id } = (await call('GET', '/gone')).body;
  await call('POST', '/gone/versions/v1/stage', { stage: 'archived' });
  expect((await call('DELETE', '/gone')).status).toBe(204);
  expect((await call('GET', '/gone')).status).toBe(404);
  await add('gone', 'v1', other);
  const again = (await call('GET', '/gone')).body;
  expect(again).toMatchObject({ versions: 1, latest: { ordinal: 1 } });
  expect(again.id).not.toBe(id);
  expect(await actions('gone')).toEqual(['registered']);
  await eventually(async () => {
    expect(heads.filter(({ chainId }) => chainId === id).map(({ action }) => action)).toEqual([
      'registered',
      'stage-changed',
      'version-deleted',
      'model-deleted',
    ]);
    return true;
  });
});

test('each change is told with the head of the chain, which links to the one before', async () => {
  const { id } = (await call('GET', '/spoken')).body;
  const { body } = await call('GET', '/spoken/history/verify');
  await eventually(async () => {
    const told = heads.filter(({ chainId }) => chainId === id);
    expect(told.map(({ seq }) => seq)).toEqual(told.map((_, i) => i + 1));
    expect(told.map(({ prevHash }) => prevHash).slice(1)).toEqual(told.map(({ head }) => head).slice(0, -1));
    expect(told.at(-1)).toMatchObject({ head: body.head, seq: body.length, model: 'spoken' });
    return true;
  });
});
