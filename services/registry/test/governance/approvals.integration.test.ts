import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc } from '@millrace/bus';
import { ModelVersionRefused, resolveVersionMethod } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import type { Caller } from '../support/principals.ts';
import { callers } from '../support/principals.ts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack, upload } from '../support/registry-stack.ts';

const model = readFileSync(new URL('../fixtures/model.onnx', import.meta.url));
const other = readFileSync(new URL('../fixtures/other.onnx', import.meta.url));
const writer = ['models:read', 'models:write'] as const;
const approver = ['models:read', 'models:approve'] as const;

let stack: RegistryStack;
let as: Record<'alice' | 'bob' | 'carol' | 'dave' | 'root', Caller>;
const refusals: Record<string, unknown>[] = [];

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  as = await callers(stack, {
    alice: [...writer, 'models:approve'],
    bob: approver,
    carol: approver,
    dave: writer,
    root: ['admin'],
  });
  stack.bus.nc.subscribe(ModelVersionRefused.subject, {
    callback: (_error, message) => {
      refusals.push(message.json());
    },
  });
}, 60_000);
afterAll(() => stack?.stop());

/** `local` registers, so nobody of the others has. */
const add = (modelId: string, version: string, file = model, fields: Record<string, string> = {}) =>
  upload(stack.registry.origin, { modelId, version, framework: 'onnx', ...fields }, file);
const at = (name: string, version: string, rest: string) => `/v1/models/${name}/versions/${version}/${rest}`;
const resolve = (name: string, version?: string) =>
  callRpc(stack.bus, 'registry', 'resolve', resolveVersionMethod, {
    model: name,
    ...(version !== undefined && { version }),
  });

describe('a stage that two others must approve', () => {
  const promote = (version: string, by: Caller = as.dave) =>
    by('POST', at('scored', version, 'stage'), { stage: 'production' });
  const approve = (by: Caller, version = 'v1') =>
    by('POST', at('scored', version, 'approvals'), { stage: 'production', comment: 'read the report' });

  beforeAll(async () => {
    await add('scored', 'v1');
    const policy = { approvalsRequired: { production: 2 }, protectedAliases: ['champ*'] };
    expect((await as.root('PUT', '/v1/models/scored/policy', policy)).body).toMatchObject({
      source: 'model',
      policy: { approvalsRequired: { production: 2, staging: 0 }, registrantMayApprove: false },
    });
  });

  test('is refused until two distinct people other than the registrant approved', async () => {
    const refused = await promote('v1');
    expect(refused).toMatchObject({ status: 403, body: { code: 'approval_required' } });
    expect(refused.body.detail).toMatch(/needs 2 approvals .* other than local; .* has 0, so 2 more must/);

    expect((await approve(as.bob)).status).toBe(201);
    // the same again is no second one
    expect((await approve(as.bob)).status).toBe(200);
    expect((await promote('v1')).body.detail).toMatch(/has 1 \(bob\), so 1 more must/);
    expect((await as.dave('GET', at('scored', 'v1', 'approvals'))).body).toMatchObject({
      required: 2,
      missing: 1,
      items: [{ principal: 'bob', comment: 'read the report', counts: true }],
    });
    await approve(as.carol);
    expect((await promote('v1')).status).toBe(200);
  });

  test('who may only write cannot approve, nor set the policy', async () => {
    expect((await approve(as.dave)).body).toMatchObject({ code: 'scope_missing' });
    for (const who of [as.dave, as.bob])
      expect((await who('PUT', '/v1/models/scored/policy', {})).body).toMatchObject({
        code: 'scope_missing',
      });
  });

  test('other bytes begin without approvals; equal bytes under another label have them', async () => {
    await add('scored', 'v2', other);
    expect((await promote('v2')).body).toMatchObject({ code: 'approval_required' });
    await add('scored', 'v3');
    expect((await promote('v3')).status).toBe(200);
  });

  test('a protected alias needs the same approvals, and an approver to take it away', async () => {
    const point = (alias: string, version: string) =>
      as.dave('PUT', `/v1/models/scored/aliases/${alias}`, { version });
    expect((await point('champion', 'v2')).body).toMatchObject({ code: 'approval_required' });
    expect((await point('candidate', 'v2')).status).toBe(200);
    expect((await point('champion', 'v1')).status).toBe(200);
    expect((await point('champion', 'v2')).body).toMatchObject({ code: 'approval_required' });
    const remove = (who: Caller) => who('DELETE', '/v1/models/scored/aliases/champion');
    expect((await remove(as.dave)).body).toMatchObject({ code: 'approval_required' });
    expect((await remove(as.alice)).status).toBe(200);
  });

  test('an approval that is taken back counts no more; that of somebody else is the admin’s to take', async () => {
    await as.dave('POST', at('scored', 'v1', 'stage'), { stage: 'staging' });
    const path = at('scored', 'v1', 'approvals/production');
    expect((await as.carol('DELETE', `${path}?principal=bob`)).body).toMatchObject({ code: 'scope_missing' });
    expect((await as.carol('DELETE', path)).body).toMatchObject({ missing: 1 });
    expect((await as.carol('DELETE', path)).body).toMatchObject({ code: 'approval_not_found' });
    expect((await promote('v1')).body.detail).toMatch(/so 1 more must/);
    expect((await as.root('DELETE', `${path}?principal=bob`)).body).toMatchObject({ missing: 2 });
  });

  test('a version cannot be registered into the stage past the approvals', async () => {
    const direct = await add('scored', 'v9', other, { stage: 'production' });
    expect(direct).toMatchObject({ status: 403, body: { code: 'approval_required' } });
    expect((await as.dave('GET', '/v1/models/scored/versions/v9')).status).toBe(404);
  });

  test('each refusal is an event, once', async () => {
    const own = () => refusals.filter((one) => one.version === 'v2' && one.where === 'stage');
    await eventually(async () => {
      expect(own()).toMatchObject([{ model: 'scored', error: { code: 'approval_required' } }]);
      return true;
    });
    await promote('v2');
    await promote('v2');
    // an event of the same service published later is here, so none of these is on its way
    await as.dave('PUT', '/v1/models/scored/aliases/champ-2', { version: 'v2' });
    await eventually(async () => {
      expect(refusals.some(({ where }) => where === 'alias')).toBe(true);
      return true;
    });
    expect(own()).toHaveLength(1);
  });
});

test('the registrant’s own approval does not count, unless policy says so', async () => {
  await as.root('PUT', '/v1/governance/policy', { approvalsRequired: { production: 1 } });
  await add('own', 'v1');
  const local = (path: string, body: unknown) =>
    fetch(`${stack.registry.origin}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const approve = () => local(at('own', 'v1', 'approvals'), { stage: 'production' });
  const refused = await approve();
  expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([403, 'own_approval']);
  const policy = { approvalsRequired: { production: 1 }, registrantMayApprove: true };
  await as.root('PUT', '/v1/models/own/policy', policy);
  expect((await approve()).status).toBe(201);
  expect((await local(at('own', 'v1', 'stage'), { stage: 'production' })).status).toBe(200);
  // the tenant's policy holds again once the model's is gone: an approval that does not count remains
  await as.root('DELETE', '/v1/models/own/policy');
  expect((await as.dave('GET', at('own', 'v1', 'approvals'))).body).toMatchObject({
    missing: 1,
    items: [{ principal: 'local', counts: false }],
  });
  await as.root('DELETE', '/v1/governance/policy');
});

describe('an enforced allow-list', () => {
  test('keeps other digests out of the stage and out of serving', async () => {
    await add('listed', 'v1');
    await add('listed', 'v2', other);
    const digestOf = async (version: string) =>
      (await as.dave('GET', `/v1/models/listed/versions/${version}`)).body;
    const [v1, v2] = [await digestOf('v1'), await digestOf('v2')];
    const move = (version: string, stage: string) =>
      as.dave('POST', at('listed', version, 'stage'), { stage });
    await move('v2', 'production');
    await as.root('PUT', '/v1/models/listed/policy', { allowList: { production: 'enforce' } });
    const path = `/v1/models/listed/allow-list/production/${v1.packageDigest}`;
    expect((await move('v1', 'production')).body).toMatchObject({ code: 'digest_not_allowed' });
    // what was in production before the list was enforced does not serve either, and nothing takes its place
    await expect(resolve('listed')).rejects.toMatchObject({ code: 'digest_not_allowed' });
    expect(await resolve('listed', 'v1')).toMatchObject({ stage: 'development' });

    expect((await as.root('PUT', path, { comment: 'audited' })).status).toBe(201);
    expect((await as.root('PUT', path, {})).status).toBe(200);
    expect((await move('v1', 'production')).status).toBe(200);
    expect(await resolve('listed')).toMatchObject({ version: 'v1' });

    // the tenant's list counts as well, and so does the model digest
    await as.root('PUT', `/v1/governance/allow-list/production/${v2.modelDigest}`, {});
    expect(await resolve('listed', 'v2')).toMatchObject({ stage: 'production' });
    expect((await as.dave('GET', '/v1/governance/allow-list?stage=production')).body.items).toMatchObject([
      { digest: v2.modelDigest, allowedBy: 'root' },
    ]);
    expect((await as.root('DELETE', path)).status).toBe(204);
    await expect(resolve('listed', 'v1')).rejects.toMatchObject({ code: 'digest_not_allowed' });
    await eventually(async () => {
      const serving = refusals.filter(({ model: name, where }) => name === 'listed' && where === 'serving');
      expect(serving).toMatchObject([{ version: 'v2' }, { version: 'v1' }]);
      return true;
    });
  });
});

test('only stages that policy names serve, by default too', async () => {
  await add('staged', 'v1');
  await add('staged', 'v2', other);
  await as.dave('POST', at('staged', 'v1', 'stage'), { stage: 'staging' });
  await as.root('PUT', '/v1/models/staged/policy', { servableStages: ['staging', 'production'] });
  expect(await resolve('staged')).toMatchObject({ version: 'v1' });
  await expect(resolve('staged', 'v2')).rejects.toMatchObject({
    code: 'stage_not_servable',
    message: expect.stringMatching(/serve in staging, production; v2 is in development/),
  });
  expect((await as.dave('GET', '/v1/models/staged')).body).toMatchObject({
    latest: { version: 'v2' },
    serving: { version: 'v1' },
  });
});
