import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isAppError } from '@millrace/contracts';
import { bundleFiles, createFileSigner, generateKeyPair } from '@millrace/integrity';
import { createClient } from '@millrace/sdk';
import type { TamperSetting } from '@millrace/testing';
import { bundleTar, makeBundle, tamperCases } from '@millrace/testing';
import type { Platform } from './fixtures.ts';
import { millrace, startPlatform } from './fixtures.ts';

const graph = (name: string): Buffer =>
  readFileSync(new URL(`../../onnx/test/fixtures/generated/${name}.onnx`, import.meta.url));

type Side = {
  platform: Platform;
  env: NodeJS.ProcessEnv;
  key: string;
  client: ReturnType<typeof createClient>;
};
let here: Side;
let there: Side;
let home: string;

async function startSide(): Promise<Side> {
  const platform = await startPlatform();
  const connection = JSON.parse(readFileSync(join(platform.home, 'connection.json'), 'utf8')) as {
    gateway: string;
    token: string;
  };
  return {
    platform,
    env: { MILLRACE_HOME: platform.home },
    key: join(platform.home, 'keys', 'registry.pub.pem'),
    client: createClient({ url: connection.gateway, token: connection.token }),
  };
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'millrace-bundle-imports-'));
  [here, there] = await Promise.all([startSide(), startSide()]);
}, 180_000);
afterAll(async () => {
  await Promise.all([here?.platform.stop(), there?.platform.stop()]);
  rmSync(home, { recursive: true });
});

const upload = ({ client }: Side, modelId: string, version: string, file: string) =>
  client.models.upload({
    modelId,
    version,
    framework: 'onnx',
    file: new Blob([Uint8Array.from(graph(file))]),
  });

async function exported({ env }: Side, what: string, name: string): Promise<string> {
  const out = join(home, name);
  const { code, err } = await millrace(['export', what, '--out', out], { env });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out;
}

const imported = (side: Side, ...args: string[]) =>
  millrace(['import', ...args, '--json'], { env: side.env });

describe.each(['folder', 'file.tar'])('a bundle as %s', (name) => {
  test('goes from one registry to another and back, with all that was signed, and once', async () => {
    const model = `iris-${name}`;
    await upload(here, model, 'v1', 'logistic_regression');
    const bundle = await exported(here, `${model}@v1`, `out-${name}`);
    const first = await imported(there, bundle, '--public-key', here.key);
    expect([first.err, first.code]).toEqual(['', 0]);
    expect(first.json()).toMatchObject({
      model,
      version: 'v1',
      bundle: { statements: ['provenance', 'meta'] },
    });
    const again = await imported(there, bundle, '--public-key', here.key);
    expect(again.json()).toMatchObject({ modelVersionId: first.json().modelVersionId });

    // it serves the same graph, has the same function, and says where it is from
    const [was, is] = await Promise.all(
      [here, there].map(async ({ client }) => await client.models.version(model, 'v1')),
    );
    expect(is).toMatchObject({
      modelDigest: was?.modelDigest,
      inputs: was?.inputs,
      outputs: was?.outputs,
      lineage: { source: 'bundle', model, version: 'v1', packageDigest: was?.packageDigest },
    });
    expect((await millrace(['verify', `${model}@v1`], { env: there.env })).code).toBe(0);

    // what the first registry had signed leaves the second one with it, and still verifies
    const back = await exported(there, `${model}@v1`, `back-${name.replace('.tar', '')}`);
    const [origin = ''] = readdirSync(join(back, 'model', 'origin'));
    const kept = join(back, 'model', 'origin', origin);
    expect(readdirSync(kept)).toEqual(
      expect.arrayContaining([
        'manifest.json',
        'model.sig',
        'provenance.sig',
        'meta.sig',
        'identity.sig',
        'history.sig',
      ]),
    );
    const returned = await imported(here, back, '--public-key', there.key, '--as', `${model}-back@v7`);
    expect([returned.err, returned.code]).toEqual(['', 0]);
    const { files } = await here.client.models.version(`${model}-back`, 'v7');
    expect(new Set(files.map(({ path }) => path.split('/')[1])).size).toBeGreaterThan(2);

    // who exported it finds it again as what it is
    const home_ = await imported(here, bundle, '--public-key', here.key);
    expect(home_.json()).toMatchObject({ modelVersionId: was?.id, packageDigest: was?.packageDigest });
  });
});

test('a bundle is refused for another key, for a label that has other bytes, and for a name that is none', async () => {
  await upload(here, 'taken', 'v1', 'random_forest');
  const bundle = await exported(here, 'taken@v1', 'taken');
  const stranger = join(home, 'stranger.pem');
  writeFileSync(stranger, generateKeyPair().publicKeyPem);
  const refused = await imported(there, bundle, '--public-key', stranger);
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('signature_key_unknown')]);
  await upload(there, 'taken-here', 'v1', 'logistic_regression');
  const conflict = await imported(there, bundle, '--public-key', here.key, '--as', 'taken-here@v1');
  expect([conflict.code, conflict.err]).toEqual([1, expect.stringContaining('version_conflict')]);
  expect((await imported(there, join(home, 'nowhere'), '--public-key', here.key)).code).toBe(64);
  const name = await imported(there, bundle, '--public-key', here.key, '--as', 'a:b@v1');
  expect([name.code, name.err]).toEqual([1, expect.stringContaining('invalid_name')]);
});

test('a bundle with pickles is refused where policy takes none', async () => {
  const pair = generateKeyPair();
  const files = { 'model.onnx': graph('random_forest'), weights: Buffer.from([0x80, 4, 0x95, 0, 0x2e]) };
  const tar = bundleTar(
    await makeBundle({ model: 'p', version: 'v1', files }, createFileSigner(pair.privateKeyPem)),
  );
  const { gateway, token } = JSON.parse(readFileSync(join(there.platform.home, 'connection.json'), 'utf8'));
  const policy = (body: object) =>
    fetch(`${gateway}/v1/governance/policy`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const send = () =>
    there.client.bundles.import(new Blob([Uint8Array.from(tar)]), {
      ...{ model: 'p', version: 'v1', trust: pair.publicKeyPem },
    });
  expect((await policy({ allowPickle: false })).status).toBe(200);
  await expect(send()).rejects.toMatchObject({ code: 'unsafe_model' });
  expect((await policy({ allowPickle: true })).status).toBe(200);
  expect(await send()).toMatchObject({ model: 'p' });
});

describe('a registry that is sent a bundle that was tampered with', () => {
  const [signer, keys] = (() => {
    const pair = generateKeyPair();
    return [createFileSigner(pair.privateKeyPem), pair] as const;
  })();
  let setting: TamperSetting;
  beforeAll(async () => {
    const files = (name: string) => ({ 'model.onnx': graph(name), 'labels.txt': Buffer.from('a\nb\n') });
    setting = {
      entries: await makeBundle({ model: 'demo', version: 'v2', files: files('random_forest') }, signer),
      older: await makeBundle({ model: 'demo', version: 'v1', files: files('logistic_regression') }, signer),
      signer,
      stranger: createFileSigner(generateKeyPair().privateKeyPem),
    };
  });

  async function sent(tar: Buffer): Promise<string> {
    const as = { model: 'demo', version: 'v2', trust: keys.publicKeyPem };
    try {
      await there.client.bundles.import(new Blob([Uint8Array.from(tar)]), as);
      return 'registered';
    } catch (error) {
      if (!isAppError(error)) throw error;
      return error.code;
    }
  }

  const cases = tamperCases.filter(({ forms = ['tar'] }) => forms.includes('tar'));
  test.each(cases.map((one) => [one.name, one] as const))('refuses it: %s', async (_name, { make, code }) => {
    expect(await sent(bundleTar(await make(setting)))).toBe(code);
  });

  test('refuses one without a statement of its version unless it is told to take it', async () => {
    const entries = setting.entries.filter(({ path }) => path !== bundleFiles.identity);
    const tar = new Blob([Uint8Array.from(bundleTar(entries))]);
    const as = { model: 'old-release', version: 'v2', trust: keys.publicKeyPem };
    await expect(there.client.bundles.import(tar, as)).rejects.toMatchObject({ code: 'identity_missing' });
    expect(await there.client.bundles.import(tar, { ...as, allowMissingIdentity: true })).toMatchObject({
      model: 'old-release',
    });
  });

  test('has registered none of them, and registers the honest one', async () => {
    await expect(there.client.models.version('demo', 'v2')).rejects.toMatchObject({
      code: 'model_not_found',
    });
    expect(await sent(bundleTar(setting.entries))).toBe('registered');
    const facts = await there.client.models.version('demo', 'v2');
    expect(facts.lineage).toMatchObject({ source: 'bundle', version: 'v2' });
  });
});
