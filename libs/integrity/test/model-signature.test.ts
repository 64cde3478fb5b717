import { beforeAll, describe, expect, test } from '@jest/globals';
import { signBundle } from '../src/bundle.ts';
import type { SignatureBundle } from '../src/index.ts';
import {
  createFileSigner,
  createManifest,
  generateKeyPair,
  publicKeyId,
  rootDigest,
  sha256Hex,
  signModel,
  verifyModel,
} from '../src/index.ts';
import { thrown } from './thrown.ts';

type Json = Record<string, unknown>;
type Payload = {
  subject: Json[];
  predicateType: string;
  _type: string;
  predicate: { resources: Json[]; serialization: Json };
};

const keys = generateKeyPair();
const signer = createFileSigner(keys.privateKeyPem);
const files = ['a-b.txt', 'a/b.txt', 'model.onnx', 'é/ü.bin'].map((path) => ({
  path,
  sha256: sha256Hex(path),
  sizeBytes: path.length,
}));
let bundle: SignatureBundle;

beforeAll(async () => {
  bundle = await signModel(createManifest(files), signer, 'demo');
});

const code = (
  value: unknown,
  entries: { path: string; sha256: string }[] = files,
  key: string | string[] = keys.publicKeyPem,
) => thrown(() => verifyModel(value as SignatureBundle, key, entries)).code;

function payloadOf(): Payload {
  return JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString()) as Payload;
}

/** A bundle whose payload was changed and then signed again by the true key: only its content is wrong. */
function resigned(change: (payload: Payload) => void): Promise<SignatureBundle> {
  const payload = payloadOf();
  change(payload);
  return signBundle(Buffer.from(JSON.stringify(payload)), signer);
}

test('what was signed verifies as object, text and bytes, in any order of the files', () => {
  const text = JSON.stringify(bundle);
  for (const form of [bundle, text, Buffer.from(text)]) {
    expect(verifyModel(form, keys.publicKeyPem, [...files].reverse())).toEqual({
      rootDigest: rootDigest(createManifest(files)),
      keyId: publicKeyId(keys.publicKeyPem),
      name: 'demo',
    });
  }
});

test('the hint is the SHA-256 of the public key PEM, whatever white space the PEM came with', () => {
  expect(bundle.verificationMaterial).toEqual({
    publicKey: { hint: sha256Hex(keys.publicKeyPem) },
    tlogEntries: [],
  });
  expect(publicKeyId(`\n${keys.publicKeyPem.replaceAll('\n', '\r\n')}\n`)).toBe(
    publicKeyId(keys.publicKeyPem),
  );
});

test('while a key is being replaced both the old and the new one are trusted', async () => {
  const next = generateKeyPair();
  const signed = await signModel(createManifest(files), createFileSigner(next.privateKeyPem), 'demo');
  const trusted = [keys.publicKeyPem, next.publicKeyPem];
  expect(verifyModel(signed, trusted, files).keyId).toBe(publicKeyId(next.publicKeyPem));
  expect(verifyModel(bundle, trusted, files).keyId).toBe(publicKeyId(keys.publicKeyPem));
  expect(code(signed)).toBe('signature_key_unknown');
});

describe('the files', () => {
  test('a file with one flipped bit is named', () => {
    const flipped = files.map((file, i) => (i === 2 ? { ...file, sha256: sha256Hex('nodel.onnx') } : file));
    expect(thrown(() => verifyModel(bundle, keys.publicKeyPem, flipped))).toMatchObject({
      code: 'digest_mismatch',
      details: { path: 'model.onnx', expected: files[2]?.sha256, actual: sha256Hex('nodel.onnx') },
    });
  });

  test('an extra, a missing, a renamed and a repeated file fail', () => {
    const extra = { path: 'evil.so', sha256: sha256Hex('evil'), sizeBytes: 4 };
    const check = (entries: typeof files) => thrown(() => verifyModel(bundle, keys.publicKeyPem, entries));
    expect(check([...files, extra])).toMatchObject({
      code: 'manifest_mismatch',
      details: { extra: ['evil.so'] },
    });
    expect(check(files.slice(1))).toMatchObject({
      code: 'manifest_mismatch',
      details: { missing: ['a-b.txt'] },
    });
    const renamed = files.map((file) =>
      file.path === 'model.onnx' ? { ...file, path: 'Model.onnx' } : file,
    );
    expect(check(renamed)).toMatchObject({ details: { missing: ['model.onnx'], extra: ['Model.onnx'] } });
    expect(check([...files, ...files.slice(0, 1)]).code).toBe('manifest_mismatch');
    expect(check([]).code).toBe('manifest_mismatch');
  });

  test('two files with swapped digests fail', () => {
    const [a, b, ...rest] = files as [(typeof files)[0], (typeof files)[0], ...typeof files];
    expect(code(bundle, [{ ...a, sha256: b.sha256 }, { ...b, sha256: a.sha256 }, ...rest])).toBe(
      'digest_mismatch',
    );
  });
});

describe('the signature', () => {
  const withEnvelope = (change: Json) => ({ ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, ...change } });

  test('another key is unknown, also when the bundle claims to be of the trusted one', async () => {
    const other = createFileSigner(generateKeyPair().privateKeyPem);
    const forged = await signModel(createManifest(files), other, 'demo');
    expect(code(forged)).toBe('signature_key_unknown');
    expect(code({ ...forged, verificationMaterial: bundle.verificationMaterial })).toBe('signature_invalid');
    expect(code(bundle, files, [])).toBe('signature_key_unknown');
  });

  test('an edited manifest does not fit its signature', () => {
    const payload = payloadOf();
    (payload.predicate.resources[0] as Json).digest = sha256Hex('other');
    const edited = Buffer.from(JSON.stringify(payload)).toString('base64');
    expect(code(withEnvelope({ payload: edited }))).toBe('signature_invalid');
  });

  test('every single flipped bit of the signature fails', () => {
    const signature = Buffer.from(bundle.dsseEnvelope.signatures[0].sig, 'base64');
    for (let bit = 0; bit < signature.length * 8; bit += 1) {
      const flipped = Buffer.from(signature);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const changed = withEnvelope({ signatures: [{ sig: flipped.toString('base64'), keyid: '' }] });
      expect(code(changed)).toBe('signature_invalid');
    }
  });

  test('a bundle cut anywhere is malformed', () => {
    const text = JSON.stringify(bundle);
    for (let length = 0; length < text.length; length += 7) {
      expect(code(text.slice(0, length))).toBe('signature_malformed');
    }
  });

  test.each<[string, () => unknown]>([
    ['another payload type', () => withEnvelope({ payloadType: 'application/json' })],
    [
      'two signatures',
      () =>
        withEnvelope({ signatures: [...bundle.dsseEnvelope.signatures, ...bundle.dsseEnvelope.signatures] }),
    ],
    ['no signature', () => withEnvelope({ signatures: [] })],
    ['an empty signature', () => withEnvelope({ signatures: [{ sig: '', keyid: '' }] })],
    ['a payload that is not base64', () => withEnvelope({ payload: `${bundle.dsseEnvelope.payload}!` })],
    ['no envelope', () => ({ ...bundle, dsseEnvelope: undefined })],
    ['a second kind of signature', () => ({ ...bundle, messageSignature: {} })],
    ['another media type', () => ({ ...bundle, mediaType: 'application/vnd.dev.sigstore.bundle.v0.2+json' })],
    [
      'a certificate instead of a key',
      () => ({ ...bundle, verificationMaterial: { certificate: { rawBytes: 'AA==' } } }),
    ],
    ['no JSON object', () => '[]'],
    ['a JSON text with a byte order mark', () => `\ufeff${JSON.stringify(bundle)}`],
    ['bytes that are not UTF-8', () => Buffer.from([0x7b, 0xff, 0x7d])],
    ['nothing', () => null],
  ])('%s is malformed', (_name, make) => {
    expect(code(make())).toBe('signature_malformed');
  });
});

describe('a manifest signed by the true key that breaks the specification', () => {
  const first = (payload: Payload) => payload.predicate.resources[0] as Json;
  test.each<[string, (payload: Payload) => void]>([
    ['a file listed twice', (payload) => payload.predicate.resources.unshift(first(payload))],
    ['files out of order', (payload) => payload.predicate.resources.reverse()],
    ['a path with ..', (payload) => Object.assign(first(payload), { name: '../a' })],
    ['an absolute path', (payload) => Object.assign(first(payload), { name: '/a' })],
    ['another hash algorithm', (payload) => Object.assign(first(payload), { algorithm: 'md5' })],
    ['a digest in capitals', (payload) => Object.assign(first(payload), { digest: 'A'.repeat(64) })],
    ['no file', (payload) => payload.predicate.resources.splice(0)],
    [
      'another root digest',
      (payload) => Object.assign(payload.subject[0] as Json, { digest: { sha256: '0'.repeat(64) } }),
    ],
    ['two subjects', (payload) => payload.subject.push(payload.subject[0] as Json)],
    ['no subject', (payload) => payload.subject.splice(0)],
    [
      'another predicate type',
      (payload) => Object.assign(payload, { predicateType: 'https://slsa.dev/provenance/v1' }),
    ],
    [
      'another statement type',
      (payload) => Object.assign(payload, { _type: 'https://in-toto.io/Statement/v0.1' }),
    ],
    ['links allowed', (payload) => Object.assign(payload.predicate.serialization, { allow_symlinks: true })],
    ['shards', (payload) => Object.assign(payload.predicate.serialization, { method: 'shards' })],
    ['no serialization', (payload) => Object.assign(payload.predicate, { serialization: undefined })],
  ])('%s is malformed', async (_name, change) => {
    expect(code(await resigned(change))).toBe('signature_malformed');
  });

  test('the untouched payload signed again is accepted, so the cases above fail for their reason', async () => {
    expect(verifyModel(await resigned(() => undefined), keys.publicKeyPem, files).name).toBe('demo');
  });
});
