import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
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
let access: { url: string; token: string };

beforeAll(async () => {
  platform = await startPlatform({ datasets: true });
  const written = readFileSync(join(platform.home, 'connection.json'), 'utf8');
  const { gateway, token } = JSON.parse(written) as { gateway: string; token: string };
  access = { url: gateway, token };
  client = createClient(access);
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

test('files of a dataset that were cut off go on where they were, and are not sent twice', async () => {
  const path = join(platform.home, 'spectra.bin');
  writeFileSync(path, randomBytes(40 * 1024 * 1024));
  const bytes = readFileSync(path);
  const source: UploadSource = {
    name: 'spectra.bin',
    sizeBytes: bytes.length,
    read: async (start, end) => bytes.subarray(start, end),
  };
  const { id } = await client.datasets.create({ name: 'cut' });
  const cut = new AbortController();
  const given = client.datasets.send(id, [source], { signal: cut.signal, onBytes: () => cut.abort() });
  await expect(given).rejects.toMatchObject({ code: 'request_cancelled' });
  const { items } = await client.datasets.uploads(id);
  expect(items).toMatchObject([{ state: 'open', files: [{ name: 'spectra.bin', parts: 3 }] }]);

  let puts = 0;
  const counting = createClient({
    ...access,
    fetch: async (input, init) => {
      if (init?.method === 'PUT') puts += 1;
      return await fetch(input, init);
    },
  });
  let sizeBytes = 0;
  const done = await counting.datasets.send(id, [source], { onBytes: (more) => (sizeBytes += more) });
  expect(done).toMatchObject({ id: items[0]?.id, state: 'completed', isReused: false });
  expect(puts).toBeLessThan(3);
  expect(sizeBytes).toBe(bytes.length);

  const env = { MILLRACE_HOME: platform.home };
  const again = await millrace(['datasets', 'upload', 'cut', path], { env });
  expect(again).toMatchObject({ code: 0, err: '' });
  expect(again.out).toContain(`Version 1 of cut: ${done.versionId}, which had these files already`);
  const { out } = await millrace(['datasets', 'uploads', 'cut'], { env });
  expect(out).toContain(done.id);
}, 60_000);

test('the command line uploads files of a dataset, and gives an unfinished upload up', async () => {
  const env = { MILLRACE_HOME: platform.home };
  const path = join(platform.home, 'a.csv');
  writeFileSync(path, 'x,y\n1,2\n');
  const sent = await millrace(['datasets', 'upload', 'table', path], { env });
  expect(sent).toMatchObject({ code: 0, err: '' });
  expect(sent.out).toContain('Version 1 of table');
  const empty = join(platform.home, 'empty.csv');
  writeFileSync(empty, '');
  expect((await millrace(['datasets', 'upload', 'table', empty], { env })).err).toContain('is empty');
  const { id } = await client.datasets.create({ name: 'table' });
  const never: UploadSource = { name: 'b.csv', sizeBytes: 4, read: async () => Buffer.from('x\n1\n') };
  const cut = new AbortController();
  const given = client.datasets.send(id, [never], {
    signal: cut.signal,
    onPhase: (phase) => phase === 'sending' && cut.abort(),
  });
  await expect(given).rejects.toMatchObject({ code: 'request_cancelled' });
  const open = (await client.datasets.uploads(id)).items.find(({ state }) => state === 'open');
  const ended = await millrace(['datasets', 'abort', 'table', open?.id ?? ''], { env });
  expect(ended.out).toContain('was given up');
  expect(await client.datasets.getUpload(id, open?.id ?? '')).toMatchObject({ state: 'aborted' });
});
