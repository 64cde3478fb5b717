import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import { createVersionResolver } from '../../src/models/version-resolver.ts';

const ANSWER_AFTER_MS = 400;
const FRESH_MS = 5_000;

/** A registry that answers at once, or lets its callers wait in vain. */
function createRegistry() {
  const state = {
    isAway: false,
    asked: 0,
    givenUp: 0,
    version: 'v1',
    error: undefined as AppError | undefined,
  };
  const ask = async (): Promise<ResolvedVersion> => {
    state.asked += 1;
    if (state.error !== undefined) throw state.error;
    if (!state.isAway) return { model: 'm', version: state.version } as ResolvedVersion;
    await delay(ANSWER_AFTER_MS);
    state.givenUp += 1;
    throw new AppError('dependency_unavailable', 'The registry does not answer.');
  };
  return { state, ask };
}

test('only the first requests of an outage wait for the registry, and its return is noticed', async () => {
  const { state, ask } = createRegistry();
  const resolver = createVersionResolver(ask);
  const resolve = async () => {
    const { givenUp } = state;
    const { version } = await resolver.resolve('m', undefined);
    return { version, hasWaited: state.givenUp > givenUp };
  };
  await resolve();
  state.isAway = true;
  await delay(FRESH_MS + 50);

  const [first, beside] = await Promise.all([resolve(), resolve()]);
  expect(first).toMatchObject({ version: 'v1' });
  expect(beside).toMatchObject({ version: 'v1' });
  expect(first.hasWaited).toBe(true);
  for (let i = 0; i < 20; i += 1) {
    expect(await resolve()).toEqual({ version: 'v1', hasWaited: false });
  }
  // one question at a time looks whether it is back
  expect(state.asked).toBeLessThanOrEqual(3 + state.givenUp);

  state.isAway = false;
  state.version = 'v2';
  await eventually(async () => expect((await resolve()).version).toBe('v2'));
  expect(resolver.peek('m', undefined)?.version).toBe('v2');

  // what an event made void is asked for again, outage or not
  state.isAway = true;
  resolver.invalidate('m');
  await expect(resolver.resolve('m', undefined)).rejects.toMatchObject({ code: 'dependency_unavailable' });
}, 20_000);

test('a process that was never asked learns from another what a name stood for, and for how long that holds', async () => {
  const { state, ask } = createRegistry();
  const first = createVersionResolver(ask);
  await first.resolve('m', undefined);
  const told = first.remembered('m', undefined);
  state.isAway = true;
  const second = createVersionResolver(ask, async (model, version) => first.remembered(model, version));
  expect(await second.resolve('m', undefined)).toMatchObject({ version: 'v1' });
  // it is as old here as it is there
  expect(second.remembered('m', undefined)).toEqual(told);
  await expect(second.resolve('other', undefined)).rejects.toMatchObject({ code: 'dependency_unavailable' });

  const hourOld = async () => ({
    value: { model: 'm', version: 'v0' } as ResolvedVersion,
    at: Date.now() - 3_599_900,
  });
  const third = createVersionResolver(ask, hourOld);
  expect((await third.resolve('m', undefined)).version).toBe('v0');
  await delay(200);
  expect(third.remembered('m', undefined)).toBeNull();
});

test('a registry that comes back and knows the model no more is believed', async () => {
  const { state, ask } = createRegistry();
  const resolver = createVersionResolver(ask);
  await resolver.resolve('m', undefined);
  state.isAway = true;
  await delay(FRESH_MS + 50);
  await resolver.resolve('m', undefined);
  state.error = new AppError('model_not_found', 'No model is called "m".');
  await eventually(async () => {
    await expect(resolver.resolve('m', undefined)).rejects.toMatchObject({ code: 'model_not_found' });
  });
}, 20_000);
