import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';

const run = promisify(execFile);
const MODEL = fileURLToPath(new URL('../fixtures/classifier.onnx', import.meta.url));
const OURS = new URL('../../src/engine/onnxruntime.ts', import.meta.url).href;

/** Loads a model in a process with a home of its own; whether the runtime left an identity of the machine there. */
async function leavesIdentity(load: string): Promise<boolean> {
  const home = mkdtempSync(join(tmpdir(), 'onnxruntime-home-'));
  try {
    const program = `${load}; await open(${JSON.stringify(MODEL)});`;
    const args = ['--no-warnings', '--input-type=module', '--eval', program];
    // on a build machine (CI=true) the runtime keeps quiet by itself
    await run(process.execPath, args, {
      env: { PATH: process.env.PATH, HOME: home },
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    return existsSync(join(home, '.cache', 'Microsoft'));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

test('the runtime reports nothing to its makers', async () => {
  const ours = `const { createLibrarySession } = await import('${OURS}');
    const { readFileSync } = await import('node:fs');
    const open = (file) => { const { buffer, byteOffset, length } = readFileSync(file); createLibrarySession().loadModel(buffer, byteOffset, length, {}); }`;
  expect(await leavesIdentity(ours)).toBe(false);
  // else this test proves nothing
  const theirs = `const { InferenceSession } = await import('onnxruntime-node'); const open = (file) => InferenceSession.create(file)`;
  expect(await leavesIdentity(theirs)).toBe(true);
});
