import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { isAppError } from '@millrace/contracts';
import { archiveLimits } from '../../src/uploads/archive/archive-files.ts';
import { openSpoolArea } from '../../src/uploads/spool.ts';
import { contentDigest, readUploadedModel } from '../../src/uploads/uploaded-model.ts';
import type { Entry } from '../support/archives.ts';
import { tarEntry, tarGzOf, zipOf } from '../support/archives.ts';

const folder = new URL('../../../inference/test/fixtures/tfjs/layers/', import.meta.url);
const layers: Entry[] = readdirSync(folder).map((path) => ({
  path,
  bytes: readFileSync(new URL(path, folder)),
}));
const savedModel: Entry[] = ['saved_model.pb', 'variables/variables.index', 'fingerprint.pb'].map((path) => ({
  path,
  bytes: Buffer.from(path),
}));
const inFolder = (entries: Entry[]): Entry[] =>
  entries.map((one) => ({ ...one, path: `my model/${one.path}` }));
const with1 = (entries: Entry[], more: Partial<Entry> & { path: string }): Entry[] => [
  ...entries,
  { bytes: Buffer.from('x'), ...more },
];

/** What an upload of these parts is, or the code that it is refused with. */
async function outcome(parts: readonly [name: string, bytes: Uint8Array][], framework = 'tensorflow') {
  const area = await openSpoolArea();
  const source = async function* (bytes: Uint8Array) {
    yield Buffer.from(bytes);
  };
  try {
    const received = await Promise.all(
      parts.map(async ([name, bytes]) => ({
        name,
        file: await area.add(source(bytes), 1e9, () => new Error() as never),
      })),
    );
    const model = await readUploadedModel(received, framework, area);
    if (model.kind === 'onnx') return { kind: model.kind, paths: [], digest: '' };
    return {
      kind: model.kind,
      paths: [...model.files.keys()].sort(),
      digest: contentDigest('onnx', model.files),
    };
  } catch (error) {
    if (isAppError(error)) return { code: error.code };
    throw error;
  } finally {
    await area.dispose();
  }
}

const ofFile = (bytes: Uint8Array, framework?: string) => outcome([['model', bytes]], framework);

test('weights are known by their name, alone or with their architecture', async () => {
  const weights: [string, Uint8Array] = ['isotope.safetensors', Buffer.from('weights')];
  expect(await outcome([weights], 'onnx')).toMatchObject({ kind: 'weights', paths: ['model.safetensors'] });
  const both: [string, Uint8Array][] = [
    ['model.safetensors', weights[1]],
    ['architecture.json', Buffer.from('{}')],
  ];
  const stated = { kind: 'weights', paths: ['architecture.json', 'model.safetensors'] };
  expect(await outcome(both, 'onnx')).toMatchObject(stated);
  const packed = both.map(([path, bytes]) => ({ path, bytes }));
  expect(await ofFile(zipOf(inFolder(packed)), 'onnx')).toEqual(await outcome(both, 'onnx'));
  const foreign: [string, Uint8Array] = ['samples.npz', Buffer.from('PK')];
  expect(await outcome([...both, foreign], 'onnx')).toEqual({ code: 'unknown_format' });
});

describe('an upload is known by its bytes', () => {
  const paths = layers.map(({ path }) => path).sort();

  test.each([
    ['.zip', zipOf(layers)],
    ['.zip in a folder', zipOf(inFolder(layers))],
    ['.tar.gz', tarGzOf(layers)],
    [
      '.tar.gz in a folder, with the folder',
      tarGzOf([{ path: 'my model/', bytes: Buffer.alloc(0), type: '5' }, ...inFolder(layers)]),
    ],
    ['.tar.gz with ./ before the names', tarGzOf(layers.map((one) => ({ ...one, path: `./${one.path}` })))],
  ])('a TF.js model as %s', async (_, bytes) => {
    expect(await ofFile(bytes)).toMatchObject({ kind: 'tfjs', paths });
  });

  test('however it is packed, it is the same upload', async () => {
    const parts = layers.map(({ path, bytes }): [string, Uint8Array] => [path, bytes]);
    const digests = await Promise.all([
      outcome(parts),
      outcome(parts.toReversed()),
      ofFile(zipOf(layers)),
      ofFile(tarGzOf(inFolder(layers))),
    ]);
    expect(new Set(digests.map(({ digest }) => digest)).size).toBe(1);
    expect(digests[0]?.digest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('a SavedModel, a .keras, an ONNX file', async () => {
    expect(await ofFile(zipOf(savedModel))).toMatchObject({ kind: 'saved_model' });
    expect(await ofFile(tarGzOf(inFolder(savedModel)), 'onnx')).toMatchObject({ kind: 'saved_model' });
    const parts = ['config.json', 'metadata.json', 'model.weights.h5'].map((path) => ({
      path,
      bytes: Buffer.from('1'),
    }));
    expect(await ofFile(zipOf(parts))).toMatchObject({ kind: 'keras', paths: ['model.keras'] });
    expect(await ofFile(Buffer.from('any'), 'onnx')).toMatchObject({ kind: 'onnx' });
  });

  test('a long name of GNU tar and a path attribute of POSIX', async () => {
    const name = `variables/${'v'.repeat(120)}`;
    const long = Buffer.concat([
      tarEntry({ path: '././@LongLink', bytes: Buffer.from(`${name}\0`), type: 'L' }),
      tarEntry({ path: name.slice(0, 100), bytes: Buffer.from('1') }),
    ]);
    const record = (text: string): string => {
      const length = text.length + 2;
      return `${length + String(length + 2).length} ${text}\n`;
    };
    const posix = Buffer.concat([
      tarEntry({ path: 'PaxHeader', bytes: Buffer.from(record(`path=${name}2`)), type: 'x' }),
      tarEntry({ path: 'short', bytes: Buffer.from('1') }),
    ]);
    const all = gzipSync(Buffer.concat([...savedModel.map(tarEntry), long, posix, Buffer.alloc(1_024)]));
    expect(await ofFile(all)).toMatchObject({ paths: expect.arrayContaining([name, `${name}2`]) });
  });
});

const zeros = (bytes: number): Entry => ({ path: 'variables/zeros', bytes: Buffer.alloc(bytes) });
const many = Array.from({ length: archiveLimits.filesMax + 1 }, (_, i) => ({
  path: `variables/${i}`,
  bytes: Buffer.alloc(1),
}));

describe.each([
  ['.zip', zipOf],
  ['.tar.gz', tarGzOf],
])('a hostile %s', (_, pack) => {
  test.each<[string, Entry[], string]>([
    ['a path out of the folder', with1(savedModel, { path: '../../evil' }), 'invalid_artifact_path'],
    ['an absolute path', with1(savedModel, { path: '/tmp/evil' }), 'invalid_artifact_path'],
    ['a path of Windows', with1(savedModel, { path: 'C:evil' }), 'invalid_artifact_path'],
    ['a file twice', with1(savedModel, { path: 'saved_model.pb' }), 'invalid_artifact_path'],
    ['a file in a file', with1(savedModel, { path: 'saved_model.pb/x' }), 'invalid_artifact_path'],
    ['a link', with1(savedModel, { path: 'variables/link', mode: 0o120_777, type: '2' }), 'invalid_archive'],
    [
      'a device',
      with1(savedModel, { path: 'variables/null', mode: 0o020_666, type: '3' }),
      'invalid_archive',
    ],
    ['nothing', [], 'invalid_archive'],
    ['a bomb', [...savedModel, zeros(64 * 1024 * 1024)], 'archive_too_large'],
    ['too many files', [...savedModel, ...many], 'archive_too_large'],
    ['no model', [{ path: 'readme.txt', bytes: Buffer.from('x') }], 'unknown_format'],
    ['a file that is no part of a SavedModel', with1(savedModel, { path: 'run.sh' }), 'unknown_format'],
    ['too many parts of a SavedModel', [...savedModel, ...many.slice(0, 200)], 'archive_too_large'],
    ['a TF.js model without a weight file', layers.slice(1), 'weights_mismatch'],
    ['a TF.js model with a file too many', with1(layers, { path: 'more.bin' }), 'weights_mismatch'],
    [
      'a TF.js model with a short weight file',
      [{ ...(layers[0] as Entry), bytes: Buffer.alloc(3) }, ...layers.slice(1)],
      'weights_mismatch',
    ],
  ])('with %s is refused', async (_what, entries, code) => {
    expect(await ofFile(pack(entries))).toEqual({ code });
  });

  test.each([
    '..\\evil',
    'variables\\..\\..\\evil',
    'variables/../../evil',
    '%2e%2e/evil',
    '%252e%252e%252fevil',
    'variables/%2e%2e/%2E%2E/evil',
    'assets/..%2f..%2fevil',
    'assets/%25252e%25252e/evil',
    'assets/%00',
    '\uff0e\uff0e/evil',
    '\u2025/evil',
    'variables/\uff0e\uff0e\u2215evil',
    'assets/\u202eevil',
  ])('with a way out of the folder in the disguise %j is refused', async (path) => {
    expect(await ofFile(pack(with1(savedModel, { path })))).toEqual({ code: 'invalid_artifact_path' });
  });

  test('that ends anywhere, or has any byte changed, is refused or the same', async () => {
    const whole = pack(layers);
    const { digest } = (await ofFile(whole)) as { digest: string };
    for (let i = 0; i < 40; i += 1) {
      const at = Math.floor((whole.length * i) / 40);
      expect(await ofFile(whole.subarray(0, at))).toHaveProperty('code');
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ 0x15;
      const answer = await ofFile(changed);
      if (!('code' in answer)) expect(answer).toMatchObject({ digest });
    }
  }, 30_000);
});

test.each<[string, Buffer]>([
  ['that is encrypted', zipOf([{ ...(savedModel[0] as Entry), flags: 1 }])],
  ['packed by another method', zipOf([{ ...(savedModel[0] as Entry), method: 12 }])],
  ['with a wrong checksum', zipOf([{ ...(savedModel[0] as Entry), crc: 1 }])],
])('a .zip %s is refused', async (_, bytes) => {
  expect(await ofFile(bytes)).toEqual({ code: 'invalid_archive' });
});

test('parts with one name, with a path, or of HDF5 are refused', async () => {
  const json = layers.find(({ path }) => path === 'model.json')?.bytes as Uint8Array;
  expect(
    await outcome([
      ['model.json', json],
      ['model.json', json],
    ]),
  ).toEqual({ code: 'invalid_artifact_path' });
  expect(
    await outcome([
      ['model.json', json],
      ['../a.bin', json],
    ]),
  ).toEqual({ code: 'invalid_artifact_path' });
  expect(await outcome([['model.json', json]])).toEqual({ code: 'weights_mismatch' });
  expect(await ofFile(Buffer.from('\x89HDF\r\n\x1a\n1234', 'latin1'))).toEqual({ code: 'unknown_format' });
  expect(await ofFile(Buffer.from('something else'))).toEqual({ code: 'unknown_format' });
});

test('a null in the name of a .zip entry is refused, and ends the name in a .tar.gz, as tar says', async () => {
  const entries = with1(savedModel, { path: 'variables/a\u0000/../../evil' });
  expect(await ofFile(zipOf(entries))).toEqual({ code: 'invalid_artifact_path' });
  expect(await ofFile(tarGzOf(entries))).toMatchObject({ paths: expect.arrayContaining(['variables/a']) });
});
