import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { hasCpuWheel } from '../src/cpu-wheels.ts';
import { ensureEnvironment, environmentsRoot, findPython } from '../src/index.ts';
import { uvEnvironment } from '../src/python-env.ts';

const folder = mkdtempSync(join(tmpdir(), 'embedded-python-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function command(name: string, script: string): string {
  const bin = join(folder, name);
  mkdirSync(bin, { recursive: true });
  const file = join(bin, 'python3');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return bin;
}

test('finds a Python that runs and fits', async () => {
  const python = await findPython(process.env);
  expect(python.version).toMatch(/^3\.1[12]\./);
});

test('a shim that does not run, a wrong version and a missing venv each get named with the fix', async () => {
  const find = (bin: string): Promise<unknown> => findPython({ PATH: bin });
  await expect(find(command('shim', 'echo "pyenv: no such version" >&2; exit 127'))).rejects.toThrow(
    /needs Python 3\.11 or 3\.12\. Found python3: pyenv: no such version\. Install Python 3\.11 or 3\.12/,
  );
  await expect(find(command('old', 'echo 3.9.2 /usr/bin/python3'))).rejects.toThrow('Found python3: 3.9.2.');
  await expect(find(command('bare', 'echo 3.11.2 /usr/bin/python3; exit 1'))).rejects.toThrow(
    'python3: 3.11.2 lacks the modules venv and ensurepip',
  );
  await expect(find(join(folder, 'empty'))).rejects.toThrow(/needs Python 3\.11 or 3\.12\. Install/);
});

test('an environment that is there and unchanged costs nothing', async () => {
  const root = environmentsRoot(process.env);
  const first = await ensureEnvironment('tools', root, process.env);
  const second = await ensureEnvironment('tools', root, process.env);
  expect(second).toEqual({ ...first, elapsedMs: 0 });
  expect(second.sizeBytes).toBeGreaterThan(100_000_000);
});

test("uv gets pip's folder of wheels and index, unless it has its own", () => {
  const pip = { PIP_FIND_LINKS: '/a /b', PIP_INDEX_URL: 'https://index.example/simple' };
  expect(uvEnvironment(pip)).toMatchObject({
    UV_FIND_LINKS: '/a,/b',
    UV_DEFAULT_INDEX: 'https://index.example/simple',
  });
  expect(uvEnvironment({ ...pip, UV_FIND_LINKS: '/mine' }).UV_FIND_LINKS).toBe('/mine');
});

test('the CPU build of a package is found by name and Python, in the folders that uv would look into', () => {
  const wheels = join(folder, 'wheels');
  mkdirSync(wheels);
  writeFileSync(join(wheels, 'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl'), '');
  writeFileSync(join(wheels, 'torchvision-0.28.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl'), '');
  writeFileSync(join(wheels, 'torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl'), '');
  const found = (version: string, env: NodeJS.ProcessEnv) => hasCpuWheel('torch', { version }, env);
  expect(found('3.11.2', { PIP_FIND_LINKS: `/nowhere ${wheels}` })).toBe(true);
  expect(found('3.11.2', { UV_FIND_LINKS: `https://wheels.example,file://${wheels}` })).toBe(true);
  expect(found('3.12.1', { PIP_FIND_LINKS: wheels })).toBe(false);
  expect(found('3.11.2', { UV_FIND_LINKS: '/nowhere', PIP_FIND_LINKS: wheels })).toBe(false);
  expect(found('3.11.2', {})).toBe(false);
});
