import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { generateKeyPair } from '@millrace/integrity';
import type { Client } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import { eventually } from '@millrace/testing';
import type { Platform } from './fixtures.ts';
import { millrace, NOWHERE, startPlatform } from './fixtures.ts';

const MODEL = readFileSync(
  new URL('../../onnx/test/fixtures/generated/logistic_regression.onnx', import.meta.url),
);
let platform: Platform;
let client: Client;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  platform = await startPlatform();
  env = { MILLRACE_HOME: platform.home };
  const { gateway, token } = JSON.parse(readFileSync(join(platform.home, 'connection.json'), 'utf8')) as {
    gateway: string;
    token: string;
  };
  client = createClient({ url: gateway, token });
  await client.models.upload({ modelId: 'iris', version: 'v1', framework: 'onnx', file: new Blob([MODEL]) });
}, 90_000);
afterAll(async () => await platform.stop());

test('status shows which services are down and exits 1', async () => {
  const { code, out } = await millrace(['status'], { env });
  expect(code).toBe(1);
  expect(out).toMatch(/registry\s+ready/);
  expect(out).toMatch(/inference\s+down/);
  const json = (await millrace(['status', '--json'], { env })).json();
  expect(json).toMatchObject({ state: 'degraded', principal: 'admin' });
});

test('a wrong or missing key is exit code 77', async () => {
  for (const args of [
    ['--token', `mlr_x_${'B'.repeat(43)}`],
    ['--url', platform.gateway.origin.replace('127.0.0.1', 'localhost')],
  ]) {
    const { code, err } = await millrace(['status', ...args], { env });
    expect(code).toBe(77);
    expect(err).toMatch(/auth_required: .*\(request [0-9a-f-]{36}\)/);
  }
});

test('a service that is down is exit code 69 and named', async () => {
  const { code, err } = await millrace(['jobs'], { env });
  expect(code).toBe(69);
  expect(err).toMatch(
    /dependency_unavailable: The (training-orchestrator|converter|datasets) service does not answer/,
  );
});

describe('models', () => {
  test('list, versions, one version, stage', async () => {
    expect((await millrace(['models'], { env })).out).toMatch(/iris\s+1\s+v1/);
    expect((await millrace(['models', 'iris'], { env })).out).toMatch(/v1\s+1\s+development\s+onnx/);
    const one = await millrace(['models', 'iris@v1'], { env });
    expect(one.out).toContain('float_input');
    expect(one.out).toContain('output_probability');
    expect((await millrace(['models', 'stage', 'iris@v1', 'staging'], { env })).out).toContain(
      'iris v1 is now in staging',
    );
    const missing = await millrace(['models', 'never-made'], { env });
    expect(missing.code).toBe(1);
    expect(missing.err).toContain('model_not_found');
  });
});

describe('administration', () => {
  test('a key is made with roles, shown once, and revoked', async () => {
    const made = await millrace(['keys', 'create', 'cli-user', '--roles', 'viewer', '--json'], { env });
    const { id, key } = made.json() as { id: string; key: string };
    // the key reaches the registry a moment after the gateway
    await eventually(async () => expect((await millrace(['models', '--token', key], { env })).code).toBe(0));
    const listed = await millrace(['keys'], { env });
    expect(listed.out).toMatch(new RegExp(`${id}\\s+cli-user\\s+default\\s+models:read`));
    expect(listed.out).not.toContain(key);
    expect((await millrace(['keys', 'revoke', id], { env })).out).toContain('is revoked');
  });

  test('models of one tenant are not there for another, not even under the same name', async () => {
    const { token } = JSON.parse(readFileSync(join(platform.home, 'connection.json'), 'utf8')) as {
      token: string;
    };
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const made = await fetch(`${client.url}/v1/tenants`, { method: 'POST', headers, body: '{"id":"acme"}' });
    expect(made.status).toBe(201);
    await client.principals.create({ id: 'amy', tenant: 'acme', roles: ['trainer'] });
    const { key } = await client.keys.create({ principal: 'amy', tenant: 'acme' });
    const theirs = createClient({ url: client.url, token: key });
    // the key reaches the registry a moment after the gateway
    await eventually(async () => expect((await theirs.models.list()).items).toEqual([]));
    await expect(theirs.models.version('iris', 'v1')).rejects.toMatchObject({ code: 'model_not_found' });
    await theirs.models.upload({
      modelId: 'iris',
      version: 'theirs',
      framework: 'onnx',
      file: new Blob([MODEL]),
    });
    const labels = async (one: Client) =>
      (await one.models.versions('iris')).items.map(({ version }) => version);
    expect([await labels(theirs), await labels(client)]).toEqual([['theirs'], ['v1']]);
    await client.principals.change('amy', { disabled: true });
    await expect(theirs.models.list()).rejects.toMatchObject({ code: 'auth_required' });
  });

  test('webhooks are made, shown, disabled and deleted; a private address is refused', async () => {
    const made = await millrace(
      ['webhooks', 'create', 'https://example.com/hook', 'model-version.*', '--json'],
      {
        env,
      },
    );
    const { id, secret } = made.json() as { id: string; secret: string };
    expect(secret).toMatch(/^whsec_/);
    expect((await millrace(['webhooks'], { env })).out).toMatch(
      /example\.com\/hook\s+model-version\.\*\s+working/,
    );
    expect((await millrace(['webhooks', 'log', id], { env })).out).toContain('Nothing was sent yet');
    expect((await millrace(['webhooks', 'disable', id], { env })).out).toContain('disabled by admin');
    expect((await millrace(['webhooks', 'rotate', id], { env })).out).toContain('whsec_');
    expect((await millrace(['webhooks', 'delete', id], { env })).out).toContain('was deleted');
    const refused = await millrace(['webhooks', 'create', 'http://127.0.0.1/', '*'], { env });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('webhook_url_not_allowed');
  });
});

describe('verify', () => {
  test('a good version, by default the one that serves', async () => {
    const { code, out } = await millrace(['verify', 'iris'], { env });
    expect(out).toMatch(/^verified\n/);
    expect(code).toBe(0);
    expect((await millrace(['verify', 'iris@v1', '--json'], { env })).json()).toMatchObject({
      verified: true,
      model: 'iris',
      files: 2,
    });
  });

  test('another key is not trusted', async () => {
    const file = join(platform.home, 'other.pem');
    writeFileSync(file, generateKeyPair().publicKeyPem);
    const { code, out } = await millrace(['verify', 'iris', '--key', file], { env });
    expect(code).toBe(1);
    expect(out).toContain('NOT verified: signature_key_unknown');
  });

  test('without a key to trust it is not begun', async () => {
    const { code, err } = await millrace(['verify', 'iris', '--key', '/nowhere.pem'], { env });
    expect(code).toBe(64);
    expect(err).toContain('/nowhere.pem');
  });

  test('one changed byte in the object store is found', async () => {
    await client.models
      .upload({ modelId: 'iris', version: 'v2', framework: 'onnx', file: new Blob([MODEL]) })
      .catch(() => undefined);
    const { files } = await client.models.bundleParts('iris', 'v1');
    const file = files[0];
    if (file === undefined) throw new Error('the version has no file');
    const changed = Buffer.from(await (await fetch(file.url)).arrayBuffer());
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    const s3 = new S3Client({
      ...platform.s3,
      credentials: platform.s3,
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
    });
    await s3.send(
      new PutObjectCommand({
        Bucket: platform.s3.bucket,
        Key: `cas/${file.sha256.slice(0, 2)}/${file.sha256}`,
        Body: changed,
      }),
    );
    s3.destroy();
    const { code, out } = await millrace(['verify', 'iris@v1'], { env });
    expect(code).toBe(1);
    expect(out).toMatch(/NOT verified: digest_mismatch/);
    expect(out).toContain(file.path);
  });
});

test('dlq is empty, and an unknown sequence says so', async () => {
  expect((await millrace(['dlq', '--after', '999999'], { env })).out).toBe('No dead letters.\n');
  const { code, err } = await millrace(['dlq', 'show', '999999'], { env });
  expect(code).toBe(1);
  expect(err).toContain('dead_letter_not_found');
});

describe('doctor', () => {
  test('finds the servers sound, and names the parts of the platform that are down', async () => {
    const { code, json } = await millrace(['doctor', '--json'], { env });
    const { checks } = json() as unknown as {
      checks: { name: string; result: string; found: string; fix?: string }[];
    };
    const result = Object.fromEntries(checks.map((check) => [check.name, check.result]));
    expect(result).toMatchObject({
      postgres: 'ok',
      clock: 'ok',
      nats: 'ok',
      jetstream: 'ok',
      's3 if-none-match': 'ok',
      's3 checksum': 'ok',
      platform: 'fail',
      workers: 'fail',
    });
    expect(checks.find(({ name }) => name === 'platform')?.found).toContain('inference');
    expect(checks.filter((check) => check.result === 'fail').every(({ fix }) => fix !== undefined)).toBe(
      true,
    );
    expect(code).toBe(1);
  });

  test('without a platform the servers are skipped and the machine is still checked', async () => {
    const { json } = await millrace(['doctor', '--json', '--url', NOWHERE], { env: { MILLRACE_HOME: '/' } });
    const { checks } = json() as unknown as { checks: { name: string; result: string }[] };
    const result = Object.fromEntries(checks.map((check) => [check.name, check.result]));
    expect(result).toMatchObject({ node: 'ok', postgres: 'skip', platform: 'fail', 'python tools': 'fail' });
  });
});

test('rollouts are set, shown and deleted, against the revision that was read', async () => {
  await client.models.upload({ modelId: 'iris', version: 'v2', framework: 'onnx', file: new Blob([MODEL]) });
  const run = (...args: string[]) => millrace(['rollouts', ...args], { env });
  expect((await run()).out).toContain('No rollout.');
  expect((await run('set', 'iris', 'v1=90', 'v2=10', '--sticky', 'userId')).out).toContain(
    'iris is at revision 1: v1=90 v2=10',
  );
  const file = join(platform.home, 'rollout.json');
  writeFileSync(file, JSON.stringify({ rules: [{ header: 'x-ring', equals: 'inner', version: 'v2' }] }));
  expect((await run('set', 'iris', '--file', file)).out).toContain('revision 2: default');
  // weights are added to what is there
  expect((await run('set', 'iris', 'v1=100')).code).toBe(0);
  const shown = await run('show', 'iris');
  expect(shown.out).toMatch(/rules\s+x-ring: inner -> v2/);
  expect(shown.out).toMatch(/v1\s+100\s+0/);
  expect((await run()).out).toMatch(/iris\s+3\s+v1=100/);

  const stale = await run('set', 'iris', 'v1=50', 'v2=50', '--revision', '2');
  expect(stale.code).toBe(1);
  expect(stale.err).toContain('precondition_failed');
  expect((await run('set', 'iris', 'v1=60', 'v2=50')).err).toMatch(/invalid_rollout: weights add up to 110/);
  for (const args of [
    ['set', 'iris'],
    ['set', 'iris', 'v1'],
    ['set', 'iris', '--file', 'no-such'],
    ['shift', 'iris'],
  ])
    expect((await run(...args)).code).toBe(64);
  expect((await run('delete', 'iris')).out).toContain('no rollout');
  expect((await run('show', 'iris')).err).toContain('rollout_not_found');
});
