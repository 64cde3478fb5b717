import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client, UploadSource } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import { eventually } from '@millrace/testing';
import type { Platform } from './fixtures.ts';
import { millrace, startPlatform } from './fixtures.ts';

const fixtures = fileURLToPath(new URL('../../../services/inference/test/fixtures/tfjs/', import.meta.url));
const pathsOf = (name: string): string[] =>
  readdirSync(join(fixtures, name)).map((file) => join(fixtures, name, file));

let platform: Platform;
let client: Client;

beforeAll(async () => {
  platform = await startPlatform();
  const { gateway, token } = JSON.parse(readFileSync(join(platform.home, 'connection.json'), 'utf8')) as {
    gateway: string;
    token: string;
  };
  client = createClient({ url: gateway, token });
}, 90_000);
afterAll(async () => await platform?.stop());

test('the files of a TF.js model go one by one and are one version', async () => {
  const env = { MILLRACE_HOME: platform.home };
  const args = ['upload', 'pictures@v1', ...pathsOf('layers'), '--framework', 'tensorflow'];
  const { code, out, err } = await millrace(args, { env });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('pictures v1 is registered.');
  const { files, framework } = await client.models.version('pictures', 'v1');
  expect(framework).toBe('tensorflow');
  expect(files.map(({ path }) => path).sort()).toEqual(readdirSync(join(fixtures, 'layers')).sort());
});

test('an upload that is given up while it is converted is cancelled', async () => {
  const sources = pathsOf('graph').map((path): UploadSource => {
    const bytes = readFileSync(path);
    return {
      name: path.slice(path.lastIndexOf('/') + 1),
      sizeBytes: bytes.length,
      read: async (start, end) => bytes.subarray(start, end),
    };
  });
  const abort = new AbortController();
  const sending = client.uploads.send({ modelId: 'graph', version: 'v1', framework: 'onnx' }, sources, {
    signal: abort.signal,
    // there is no converter here, so that it stays there
    onPhase: (phase) => phase === 'converting' && abort.abort(),
  });
  await expect(sending).rejects.toMatchObject({ code: 'request_cancelled' });
  const [upload] = (await client.uploads.list()).items.filter(({ modelId }) => modelId === 'graph');
  const id = upload?.importId as string;
  await eventually(async () =>
    expect(await client.uploads.import(id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'import_cancelled' },
    }),
  );
  await expect(client.uploads.imported(id)).rejects.toMatchObject({ code: 'import_cancelled' });
  expect(await client.uploads.cancelImport(id)).toMatchObject({ state: 'cancelled' });
});
