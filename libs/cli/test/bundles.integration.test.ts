import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { environmentsRoot } from '@millrace/embedded';
import { generateKeyPair } from '@millrace/integrity';
import { createClient } from '@millrace/sdk';
import type { Platform } from './fixtures.ts';
import { millrace, NOWHERE, startPlatform } from './fixtures.ts';

const run = promisify(execFile);
const MODEL = readFileSync(
  new URL('../../onnx/test/fixtures/generated/logistic_regression.onnx', import.meta.url),
);
let platform: Platform;
let env: NodeJS.ProcessEnv;
let home: string;
let key: string;

beforeAll(async () => {
  platform = await startPlatform();
  env = { MILLRACE_HOME: platform.home };
  home = mkdtempSync(join(tmpdir(), 'millrace-bundles-'));
  key = join(platform.home, 'keys', 'registry.pub.pem');
  const { gateway, token } = JSON.parse(readFileSync(join(platform.home, 'connection.json'), 'utf8')) as {
    gateway: string;
    token: string;
  };
  const client = createClient({ url: gateway, token });
  await client.models.upload({ modelId: 'iris', version: 'v1', framework: 'onnx', file: new Blob([MODEL]) });
  await client.models.setStage('iris', 'v1', 'staging');
}, 90_000);
afterAll(async () => {
  await platform.stop();
  rmSync(home, { recursive: true });
});

/** Runs `verify` as on a machine that knows no platform. */
const offline = (path: string, ...more: string[]) =>
  millrace(['verify', path, '--url', NOWHERE, '--json', ...more], { env: { MILLRACE_HOME: '/' }, cwd: home });

async function exported(name: string): Promise<string> {
  const out = join(home, name);
  const { code, err } = await millrace(['export', 'iris', '--out', out], { env });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out;
}

describe.each(['folder', 'file.tar'])('an exported bundle as %s', (name) => {
  let path: string;
  beforeAll(async () => {
    path = await exported(name);
  });

  test('verifies without a platform, and says what was checked', async () => {
    const { code, json } = await offline(path, '--public-key', key);
    expect(code).toBe(0);
    expect(json()).toMatchObject({
      verified: true,
      model: 'iris',
      version: 'v1',
      files: 2,
      statements: ['provenance', 'meta'],
      history: { isComplete: true, version: 'v1' },
      identity: {
        tenant: 'default',
        model: 'iris',
        version: 'v1',
        ordinal: 1,
        servingFile: 'serving/model.onnx',
      },
    });
    expect((json().history as { rows: number }).rows).toBeGreaterThanOrEqual(2);
    expect(existsSync(`${path}.partial`)).toBe(false);
  });

  test('is refused for another key, and not looked at without any', async () => {
    const other = join(home, 'other.pem');
    writeFileSync(other, generateKeyPair().publicKeyPem);
    const { code, json } = await offline(path, '--public-key', other);
    expect(code).toBe(1);
    expect(json()).toMatchObject({ verified: false, code: 'signature_key_unknown' });
    expect((await offline(path, '--public-key', other, '--public-key', key)).code).toBe(0);
    expect((await offline(path)).code).toBe(64);
    expect((await offline(path, '--public-key', join(platform.home, 'keys', 'registry.pem'))).code).toBe(64);
    expect((await offline(`${path}-nowhere/`, '--public-key', key)).code).toBe(64);
  });

  test('is refused to who means another version, however sound it is', async () => {
    const expecting = async (...meant: string[]) => {
      const { code, json } = await offline(path, '--public-key', key, ...meant);
      return [code, json().code];
    };
    expect(await expecting('--expect', 'iris@v1', '--tenant', 'default')).toEqual([0, undefined]);
    expect(await expecting('--expect', 'iris@1')).toEqual([0, undefined]);
    expect(await expecting('--expect', 'iris@v2')).toEqual([1, 'manifest_mismatch']);
    expect(await expecting('--expect', 'lily')).toEqual([1, 'manifest_mismatch']);
    expect(await expecting('--tenant', 'acme')).toEqual([1, 'manifest_mismatch']);
  });

  test('is not written over', async () => {
    const { code, err } = await millrace(['export', 'iris', '--out', path], { env });
    expect(code).toBe(64);
    expect(err).toContain('exists already');
  });
});

test('the reference tool verifies the package of a bundle as it is', async () => {
  const path = await exported('for-reference');
  const tool = join(environmentsRoot(process.env), 'dev/bin/model_signing');
  const verify = () =>
    run(tool, [
      ...['verify', 'key', join(path, 'model'), '--signature', join(path, 'model.sig')],
      ...['--public_key', key],
    ]);
  expect((await verify()).stdout).toMatch(/succeeded/i);
  writeFileSync(join(path, 'model', 'extra'), 'x');
  await expect(verify()).rejects.toMatchObject({ code: 1 });
  const { code, out } = await millrace(['verify', `${path}/`], { env });
  expect(code).toBe(1);
  expect(out).toMatch(/^NOT verified: manifest_mismatch/);
});

test('a bundle of a release that signed no names is taken only by who says so', async () => {
  const path = await exported('of-older-release');
  rmSync(join(path, 'identity.sig'));
  const refused = await offline(path, '--public-key', key);
  expect([refused.code, refused.json()]).toEqual([
    1,
    expect.objectContaining({
      code: 'identity_missing',
      message: expect.stringContaining('--allow-missing-identity'),
    }),
  ]);
  const taken = await offline(path, '--public-key', key, '--allow-missing-identity');
  expect([taken.code, taken.json().model]).toEqual([0, 'iris']);
  const into = (...more: string[]) =>
    millrace(['import', path, '--public-key', key, '--as', 'from-older@v1', ...more], { env });
  expect((await into()).err).toContain('identity_missing');
  expect((await into('--allow-missing-identity')).code).toBe(0);
});

test('an export that broke off goes on with what came, and trusts none of it', async () => {
  const whole = await exported('whole');
  const target = join(home, 'resumed');
  const part = join(`${target}.partial`, 'model', 'model.onnx.part');
  const attempt = () => millrace(['export', 'iris', '--out', target], { env });
  mkdirSync(dirname(part), { recursive: true });
  writeFileSync(join(`${target}.partial`, 'left-behind'), 'x');

  // a beginning that is not the true one shows that the beginning is used
  writeFileSync(part, Buffer.alloc(100, 1));
  const refused = await attempt();
  expect(refused.err).toContain('digest_mismatch');
  expect(refused.code).toBe(1);
  expect(existsSync(target)).toBe(false);

  await cp(join(whole, 'model', 'model.onnx'), part);
  writeFileSync(part, readFileSync(part).subarray(0, 333));
  expect((await attempt()).code).toBe(0);
  expect((await offline(target, '--public-key', key)).json()).toMatchObject({ verified: true });
});

test('a model is still verified by its name, also next to a folder of that name', async () => {
  mkdirSync(join(home, 'iris'), { recursive: true });
  const { code, out } = await millrace(['verify', 'iris'], { env, cwd: home });
  expect(out).toMatch(/^verified\n/);
  expect(code).toBe(0);
});

test('a file is uploaded in parts, straight to the object store, and can be exported again', async () => {
  const file = join(home, 'model.onnx');
  writeFileSync(file, MODEL);
  const { code, err, json } = await millrace(['upload', 'by-parts@v1', file, '--json'], { env });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(json()).toMatchObject({ modelId: 'by-parts', version: 'v1', importId: null });
  const out = join(home, 'by-parts.tar');
  expect((await millrace(['export', 'by-parts@v1', '--out', out], { env })).code).toBe(0);
  expect((await offline(out, '--public-key', key)).code).toBe(0);
  writeFileSync(file, 'no model');
  const refused = await millrace(['upload', 'by-parts@v2', file], { env });
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/not_onnx|invalid_model/);
});
