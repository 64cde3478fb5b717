import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, startRegistryStack } from '../support/registry-stack.ts';
import { ask, FATAL, rolloutRequests, split } from '../support/rollout-requests.ts';

let stack: RegistryStack;
const { path, put, status, addModel, predict, versionsOf } = rolloutRequests(() => stack);

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
}, 60_000);
afterAll(() => stack?.stop());

/** Waits until every process of inference has heard of the present rollout: the default answers no more. */
const settled = (model: string, version: string): Promise<void> =>
  eventually(async () => {
    expect(new Set(await versionsOf(model, 8))).toEqual(new Set([version]));
  });

test('follow rules, then their key, and never leave a version that they name', async () => {
  await addModel('routed');
  const rules = [{ header: 'X-Ring', prefix: 'insider', version: 'v2' }];
  await put('routed', { ...split(100, 0), sticky: { by: 'userId' }, rules });
  await settled('routed', 'v1');
  expect(new Set(await versionsOf('routed', 6, { headers: { 'x-ring': 'insider-7' } }))).toEqual(
    new Set(['v2']),
  );
  expect(new Set(await versionsOf('routed', 6, { headers: { 'x-ring': 'outsider' } }))).toEqual(
    new Set(['v1']),
  );
  const named = { version: 'v1', headers: { 'x-ring': 'insider-7' } };
  expect(new Set(await versionsOf('routed', 6, named))).toEqual(new Set(['v1']));

  await put('routed', { ...split(50, 50), sticky: { by: 'userId' } }, '*');
  await eventually(async () => expect(new Set(await versionsOf('routed', 12)).size).toBe(2));
  const users = Array.from({ length: 24 }, (_, i) => `user-${i}`);
  const first = new Map<string, string>();
  for (const userId of users) first.set(userId, (await predict('routed', { userId })).version);
  expect(new Set(first.values()).size).toBe(2);
  for (const userId of users) expect((await predict('routed', { userId })).version).toBe(first.get(userId));
  // 10 % more for v2: nobody leaves it
  await put('routed', { ...split(40, 60), sticky: { by: 'userId' } }, '*');
  await delay(500);
  for (const userId of users)
    if (first.get(userId) === 'v2') expect((await predict('routed', { userId })).version).toBe('v2');
}, 60_000);

test('none is lost while rollouts change', async () => {
  await addModel('moving');
  await put('moving', split(100, 0));
  await settled('moving', 'v1');
  let isOver = false;
  const seen = new Map<string, number>();
  const failed: number[] = [];
  const load = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const { status: code, version } = await predict('moving');
      if (code === 200) seen.set(version, (seen.get(version) ?? 0) + 1);
      else failed.push(code);
    }
  });
  for (let i = 1; i <= 12; i += 1) {
    expect((await put('moving', i % 2 === 0 ? split(100, 0) : split(0, 100), '*')).status).toBe(200);
    await delay(150);
  }
  expect((await ask('DELETE', path('moving'), { 'if-match': '*' })).status).toBe(204);
  await delay(200);
  isOver = true;
  await Promise.all(load);
  expect(failed).toEqual([]);
  expect([...seen.keys()].sort()).toEqual(['v1', 'v2']);
  expect(Math.min(...seen.values())).toBeGreaterThan(20);
}, 60_000);

test('a shadow gets copies, and its answers are compared and thrown away', async () => {
  await addModel('shadowed');
  await put('shadowed', { ...split(100, 0), shadow: { version: 'v2', percent: 100 } });
  await settled('shadowed', 'v1');
  await versionsOf('shadowed', 20);
  // the shadow fails on these, which nobody notices
  expect(new Set(await versionsOf('shadowed', 6, { x: FATAL }))).toEqual(new Set(['v1']));
  await eventually(async () => {
    const { shadow } = await status('shadowed');
    expect(shadow?.compared).toBeGreaterThan(5);
    expect(shadow?.failed).toBeGreaterThan(0);
    expect(shadow?.maxAbsDifference).toBeCloseTo(0.25, 6);
    expect(shadow?.meanAbsDifference).toBeCloseTo(0.25, 6);
    const ends = ['compared', 'failed', 'incomparable', 'dropped'].map((end) => shadow?.[end] ?? 0);
    expect(ends.reduce((sum, count) => sum + count, 0)).toBe(shadow?.offered);
  });
}, 60_000);

test('a canary that fails more than its baseline loses its weight by itself', async () => {
  await addModel('canary');
  const facts: Record<string, unknown>[] = [];
  const watching = stack.bus.nc.subscribe('millrace.evt.rollout.rolled-back.v1', {
    callback: (_error, message) => {
      facts.push(message.json());
    },
  });
  const canary = {
    version: 'v2',
    baseline: 'v1',
    windowSeconds: 60,
    minRequests: 20,
    errorRateIncreaseMax: 0.2,
  };
  await put('canary', { ...split(50, 50), canary });
  await eventually(async () => expect(new Set(await versionsOf('canary', 12)).size).toBe(2));
  expect((await getJson(path('canary'))).body).toMatchObject({ revision: 1, rolledBack: null });

  await eventually(async () => {
    for (let i = 0; i < 20; i += 1) await predict('canary', { x: FATAL });
    const { body } = await getJson(path('canary'));
    expect(body).toMatchObject({
      revision: 2,
      spec: split(100, 0),
      rolledBack: {
        version: 'v2',
        fromRevision: 1,
        reason: expect.stringMatching(/requests to v2 failed/),
      },
      updatedBy: 'registry',
    });
  });
  await settled('canary', 'v1');
  expect(new Set(await versionsOf('canary', 10, { x: FATAL }))).toEqual(new Set(['v1']));
  expect(await status('canary')).toMatchObject({
    canary: 'rolled-back',
    reason: expect.stringMatching(/v2 failed/),
  });
  await eventually(async () => {
    expect(facts).toEqual([
      expect.objectContaining({ model: 'canary', revision: 2, version: 'v2', baseline: 'v1' }),
    ]);
  });
  watching.unsubscribe();
  // the operator who still has revision 1 in hand does not undo it unseen
  expect((await put('canary', split(50, 50), '"1"')).status).toBe(412);
}, 60_000);

test('a canary is judged by what all replicas saw, and rolled back once', async () => {
  await addModel('replicated');
  const [inference, registry] = await Promise.all([
    stack.startReplica('inference'),
    stack.startReplica('registry'),
  ]);
  const facts: unknown[] = [];
  const watching = stack.bus.nc.subscribe('millrace.evt.rollout.rolled-back.v1', {
    callback: (_error, message) => {
      facts.push(message.json());
    },
  });
  const canary = {
    version: 'v2',
    baseline: 'v1',
    windowSeconds: 120,
    minRequests: 50,
    errorRateIncreaseMax: 0.2,
  };
  const rules = [{ header: 'x-ring', equals: 'inner', version: 'v2' }];
  await put('replicated', { ...split(100, 0), rules, canary });
  const fail = (origin: string | undefined) =>
    predict('replicated', { x: FATAL, headers: { 'x-ring': 'inner' }, origin });
  for (const origin of [stack.inference?.origin, inference.origin])
    await eventually(async () => {
      const [first, second] = [await fail(origin), await fail(origin)];
      expect([first.status, second.status]).toEqual([500, 500]);
    });
  for (let i = 0; i < 30; i += 1) await fail(stack.inference?.origin);
  await eventually(async () => {
    expect(
      (await status('replicated')).versions.find(({ version }) => version === 'v2')?.errors,
    ).toBeGreaterThan(30);
  });
  // neither replica alone saw enough
  await delay(1_500);
  const { canary: state, sources } = await status('replicated');
  expect(state).toBe('waiting');
  // each has two fronts, so both replicas are among these
  expect(sources).toBeGreaterThan(2);
  for (let i = 0; i < 30; i += 1) await fail(inference.origin);
  await eventually(async () => {
    expect((await getJson(path('replicated'))).body).toMatchObject({
      revision: 2,
      spec: { ...split(100, 0), rules: [{ ...rules[0], version: 'v1' }] },
    });
  });
  // both replicas of the registry judge; one wrote the revision
  await delay(2_500);
  expect((await getJson(path('replicated'))).body.revision).toBe(2);
  expect((await getJson(`${registry.origin}/v1/rollouts/replicated/status`)).body.canary).toBe('rolled-back');
  expect(facts).toHaveLength(1);
  watching.unsubscribe();
}, 90_000);
