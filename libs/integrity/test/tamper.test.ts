import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { BundleEntry, TamperSetting } from '@millrace/testing';
import { bundleTar, makeBundle, tamperCases, writeBundleFolder } from '@millrace/testing';
import {
  bundleFiles,
  createFileSigner,
  generateKeyPair,
  openModelBundle,
  tarFileHeader,
  tarPadding,
  verifyModelBundle,
} from '../src/index.ts';

const keys = generateKeyPair();
const signer = createFileSigner(keys.privateKeyPem);
let setting: TamperSetting;
let home: string;
let count = 0;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'tamper-'));
  const bundle = (version: string) =>
    makeBundle(
      {
        model: 'demo',
        version,
        files: {
          'model.onnx': Buffer.from(`graph of ${version}`),
          'data/weights.bin': Buffer.from(`weights of ${version}`),
        },
      },
      signer,
    );
  setting = {
    entries: await bundle('v2'),
    older: await bundle('v1'),
    signer,
    stranger: createFileSigner(generateKeyPair().privateKeyPem),
  };
});
afterAll(() => rm(home, { recursive: true }));

async function placed(entries: readonly BundleEntry[], form: 'folder' | 'tar'): Promise<string> {
  const path = join(home, `${++count}`);
  if (form === 'folder') await writeBundleFolder(path, entries);
  else await writeFile(path, bundleTar(entries));
  return path;
}

/** `ok`, or the code of the refusal; anything but an AppError is thrown on. */
async function outcome(path: string): Promise<string> {
  try {
    await verifyModelBundle(await openModelBundle(path), keys.publicKeyPem);
    return 'ok';
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined || (error as Error).name !== 'AppError') throw error;
    return code;
  }
}

test.each(['folder', 'tar'] as const)('the untouched bundle verifies as a %s', async (form) => {
  const path = await placed(setting.entries, form);
  const result = await verifyModelBundle(await openModelBundle(path), keys.publicKeyPem);
  expect(result).toMatchObject({ model: 'demo', version: 'v2', files: 2, keyId: signer.keyId() });
  expect(result.history).toMatchObject({ rows: 2, isComplete: true });
});

describe('a reader who says which version is meant', () => {
  const check = async (
    entries: readonly BundleEntry[],
    options: Parameters<typeof verifyModelBundle>[2],
  ): Promise<string> => {
    const source = await openModelBundle(await placed(entries, 'tar'));
    return await verifyModelBundle(source, keys.publicKeyPem, options).then(
      ({ identity }) => `version ${identity?.ordinal ?? 'unknown'}`,
      (error: { code: string }) => error.code,
    );
  };

  test.each([
    ['its label', { model: 'demo', version: 'v2' }, 'version 2'],
    ['its ordinal', { model: 'demo', version: '2' }, 'version 2'],
    ['its tenant', { tenant: 'default' }, 'version 2'],
    ['a newer version', { model: 'demo', version: 'v3' }, 'manifest_mismatch'],
    ['a newer ordinal', { version: '3' }, 'manifest_mismatch'],
    ['another model', { model: 'other' }, 'manifest_mismatch'],
    ['another tenant', { tenant: 'acme' }, 'manifest_mismatch'],
  ])('finds it by %s', async (_name, expected, outcome) => {
    expect(await check(setting.entries, { expected })).toBe(outcome);
  });

  test('is not given the whole bundle of an older version, sound as it is', async () => {
    expect(await check(setting.older, {})).toBe('version 1');
    expect(await check(setting.older, { expected: { model: 'demo', version: 'v2' } })).toBe(
      'manifest_mismatch',
    );
  });

  test('may take a bundle of a release that signed no names, of which the history tells label and model', async () => {
    const old = setting.entries.filter(({ path }) => path !== bundleFiles.identity);
    const isIdentityOptional = true;
    expect(await check(old, {})).toBe('identity_missing');
    expect(await check(old, { isIdentityOptional })).toBe('version unknown');
    expect(await check(old, { isIdentityOptional, expected: { model: 'demo', version: 'v2' } })).toBe(
      'version unknown',
    );
    expect(await check(old, { isIdentityOptional, expected: { version: 'v3' } })).toBe('manifest_mismatch');
    expect(await check(old, { isIdentityOptional, expected: { tenant: 'default' } })).toBe(
      'identity_missing',
    );
    // a statement that is there is never passed over
    const other = tamperCases.find(({ name }) => name.includes('which version an older one is'));
    expect(await check((await other?.make(setting)) ?? [], { isIdentityOptional })).toBe('manifest_mismatch');
  });
});

test('there are at least 30 ways to tamper, each with a name of its own', () => {
  expect(tamperCases.length).toBeGreaterThanOrEqual(30);
  expect(new Set(tamperCases.map(({ name }) => name)).size).toBe(tamperCases.length);
});

describe.each(['folder', 'tar'] as const)('as a %s is refused', (form) => {
  const cases = tamperCases.filter(({ forms = ['folder', 'tar'] }) => forms.includes(form));
  test.each(cases.map((one) => [one.name, one] as const))('%s', async (_name, { make, code }) => {
    expect(await outcome(await placed(await make(setting), form))).toBe(code);
  });
});

describe('a tar', () => {
  test('cut anywhere is refused, but for its empty end', async () => {
    const whole = bundleTar(setting.entries);
    for (let length = 100; length < whole.length - 1024; length += 700) {
      const path = join(home, `cut-${length}`);
      await writeFile(path, whole.subarray(0, length));
      expect([length, await outcome(path)]).toEqual([length, 'invalid_bundle']);
    }
  });

  test('with a damaged header is refused', async () => {
    const whole = bundleTar(setting.entries);
    whole.writeUInt8(whole.readUInt8(3) ^ 1, 3);
    const path = join(home, 'damaged');
    await writeFile(path, whole);
    expect(await outcome(path)).toBe('invalid_bundle');
  });

  test('that announces attributes or files without end costs neither memory nor patience', async () => {
    const attributes = tarFileHeader('x'.repeat(101), 1);
    attributes.write('77777777777\0', 124);
    const file = tarFileHeader('model/huge', 8 * 1024 ** 3 - 1);
    const document = tarFileHeader('bundle.json', 8 * 1024 ** 3 - 1);
    const before = process.memoryUsage.rss();
    for (const [name, header] of Object.entries({ attributes, file, document })) {
      const path = join(home, `bomb-${name}`);
      await writeFile(path, header);
      await truncate(path, 64 * 1024 * 1024);
      expect([name, await outcome(path)]).toEqual([name, 'invalid_bundle']);
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 1024 ** 2);
  });

  test('long names and an order of its own are fine', async () => {
    const path = `${'folder/'.repeat(30)}weights.bin`;
    const files = { 'model.onnx': Buffer.from('graph'), [path]: Buffer.from('weights') };
    const entries = await makeBundle({ model: 'demo', version: 'v1', files }, signer);
    expect(await outcome(await placed(entries.toReversed(), 'tar'))).toBe('ok');
    expect(await outcome(await placed(entries, 'folder'))).toBe('ok');
    expect(tarPadding(512).length).toBe(0);
  });
});
