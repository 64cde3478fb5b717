import { expect, test } from '@jest/globals';
import { createManifest, modelDigest, packageDigest, sha256Hex } from '../src/index.ts';
import { thrown } from './thrown.ts';

const file = (path: string, text = path) => ({ path, sha256: sha256Hex(text), sizeBytes: text.length });

test('the package digest ignores the order of files and counts names, bytes and sizes', () => {
  const files = [file('b'), file('a/x'), file('é')];
  const digest = packageDigest({ files });
  expect(packageDigest({ files: [...files].reverse() })).toBe(digest);
  expect(packageDigest({ files: [file('b'), file('a/y', 'a/x'), file('é')] })).not.toBe(digest);
  expect(packageDigest({ files: [file('b', 'c'), file('a/x'), file('é')] })).not.toBe(digest);
  expect(packageDigest({ files: [{ ...file('b'), sizeBytes: 2 }, file('a/x'), file('é')] })).not.toBe(digest);
});

test('the package digest of one known manifest never changes', () => {
  const files = [{ path: 'model.onnx', sha256: 'a'.repeat(64), sizeBytes: 3 }];
  const text = `{"files":[{"path":"model.onnx","sha256":"${'a'.repeat(64)}","sizeBytes":3}]}`;
  expect(packageDigest({ files })).toBe(sha256Hex(text));
});

test('files are sorted by code point, not by UTF-16 unit', () => {
  const { files } = createManifest([file('\u{1f600}'), file('\uff5a'), file('a/b'), file('a-b')]);
  expect(files.map((entry) => entry.path)).toEqual(['a-b', 'a/b', '\uff5a', '\u{1f600}']);
});

test.each([
  '',
  '../x',
  'a/../../x',
  'a/./b',
  'a//b',
  '/etc/passwd',
  'C:\\x',
  'C:/x',
  'a\\b',
  'a\u0000b',
  'a/',
  '..',
  'x'.repeat(1025),
  '\ud800',
])('the path %j is refused', (path) => {
  expect(thrown(() => createManifest([file(path)])).code).toBe('invalid_artifact_path');
});

test('a repeated path, an empty package and a malformed digest or size are refused', () => {
  expect(thrown(() => createManifest([file('a'), file('b'), file('a', 'other')])).code).toBe(
    'invalid_artifact_path',
  );
  expect(thrown(() => createManifest([])).code).toBe('invalid_request');
  expect(thrown(() => createManifest([{ ...file('a'), sha256: 'A'.repeat(64) }])).code).toBe(
    'invalid_request',
  );
  for (const sizeBytes of [-1, 1.5, Number.NaN]) {
    expect(thrown(() => createManifest([{ ...file('a'), sizeBytes }])).code).toBe('invalid_request');
  }
});

test('the model digest repeats for the same weights and graphs in any order, and nothing else', () => {
  const [w, g, h] = [sha256Hex('w'), sha256Hex('g'), sha256Hex('h')];
  const digest = modelDigest({ weightsDigest: w, graphDigests: [g, h] });
  expect(modelDigest({ weightsDigest: w, graphDigests: [h, g, h] })).toBe(digest);
  expect(digest).toBe(sha256Hex(JSON.stringify({ graphs: [g, h].sort(), weights: w })));
  const others = [
    modelDigest({ graphDigests: [g, h] }),
    modelDigest({ weightsDigest: g, graphDigests: [w, h] }),
    modelDigest({ weightsDigest: w, graphDigests: [g] }),
  ];
  expect(new Set([digest, ...others]).size).toBe(4);
  expect(() => modelDigest({ graphDigests: [] })).toThrow(TypeError);
  expect(() => modelDigest({ graphDigests: ['x'] })).toThrow(TypeError);
});
