import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AUTHORITY,
  type CertificateRequest,
  type IssuedCertificate,
  issueCertificate,
  SIGNING,
} from '@millrace/testing';
import type { Signer } from '../src/index.ts';
import {
  createCommandSigner,
  createFileSigner,
  createManifest,
  generateKeyPair,
  publicKeyId,
  sha256Hex,
  signModel,
  verifyModel,
  withCertificates,
} from '../src/index.ts';
import { thrown } from './thrown.ts';

const files = [{ path: 'model.onnx', sha256: sha256Hex('m'), sizeBytes: 1 }];
const manifest = createManifest(files);
let home: string;
let root: IssuedCertificate;
let middle: IssuedCertificate;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'signing-'));
  root = await issueCertificate({ name: 'Root', extensions: AUTHORITY });
  middle = await issueCertificate({ name: 'Middle', extensions: AUTHORITY, issuer: root });
});
afterAll(() => rm(home, { recursive: true }));

const leaf = (more: Partial<CertificateRequest> = {}) =>
  issueCertificate({ name: 'Registry', extensions: SIGNING, issuer: middle, ...more });

/** Signs with a certificate and gives what verification says of it. */
async function signedBy(
  one: IssuedCertificate,
  chain: readonly IssuedCertificate[] = [middle],
): Promise<(trusted: string, at?: Date) => string | undefined> {
  const pem = [one, ...chain].map(({ certificatePem }) => certificatePem).join('\n');
  const bundle = await signModel(
    manifest,
    withCertificates(createFileSigner(one.privateKeyPem), pem),
    'demo',
  );
  return (trusted, at) => {
    try {
      return verifyModel(bundle, trusted, files, at === undefined ? {} : { at }).certificate;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
}

describe('a certificate of an own authority', () => {
  test('verifies by its root, whether that came along or not, and says who it is', async () => {
    const one = await leaf();
    expect((await signedBy(one))(root.certificatePem)).toBe('CN=Registry');
    expect((await signedBy(one, [middle, root]))(root.certificatePem)).toBe('CN=Registry');
    // an intermediate that is trusted itself needs no root
    expect((await signedBy(one, []))(middle.certificatePem)).toBe('CN=Registry');
    const mixed = `${generateKeyPair().publicKeyPem}\n${root.certificatePem}`;
    expect((await signedBy(one))(mixed)).toBe('CN=Registry');
  });

  test('is refused without a chain to what is trusted', async () => {
    const one = await leaf();
    const namesake = await issueCertificate({ name: 'Root', extensions: AUTHORITY });
    expect((await signedBy(one))(namesake.certificatePem)).toBe('certificate_untrusted');
    expect((await signedBy(one, []))(root.certificatePem)).toBe('certificate_untrusted');
    expect((await signedBy(one))(createPublicKeyPem(one))).toBe('certificate_untrusted');
    expect((await signedBy(one, [root]))(root.certificatePem)).toBe('certificate_untrusted');
  });

  test('is refused before and after its time, by the clock that is given', async () => {
    const verify = await signedBy(await leaf({ valid: ['20260101000000Z', '20260201000000Z'] }));
    const old = await issueCertificate({
      name: 'Root',
      extensions: AUTHORITY,
      valid: ['20200101000000Z', '20260115000000Z'],
    });
    const at = (text: string) => new Date(text);
    expect(verify(root.certificatePem, at('2026-01-15'))).toBe('certificate_invalid');
    const own = await signedBy(
      await leaf({ issuer: old, valid: ['20260101000000Z', '20260201000000Z'] }),
      [],
    );
    expect(own(old.certificatePem, at('2026-01-10'))).toBe('CN=Registry');
    for (const time of ['2025-12-31T23:59:59Z', '2026-02-01T00:00:01Z', '2026-01-20'])
      expect(own(old.certificatePem, at(time))).toBe('certificate_invalid');
    expect(own(old.certificatePem)).toBe('certificate_invalid');
  });

  test.each<[string, string[]]>([
    ['may not sign anything', []],
    ['may only encrypt', ['keyUsage=critical,keyEncipherment']],
    ['may sign, but as a web server only', ['keyUsage=digitalSignature', 'extendedKeyUsage=serverAuth']],
    ['may sign code, but make no signatures', ['keyUsage=keyEncipherment', 'extendedKeyUsage=codeSigning']],
    ['is an authority', [...AUTHORITY.slice(0, 1), 'keyUsage=critical,digitalSignature,keyCertSign']],
    ['has a critical extension that nobody knows', [...SIGNING, '1.2.3.4=critical,ASN1:UTF8String:x']],
  ])('is refused when it %s', async (_name, extensions) => {
    expect((await signedBy(await leaf({ extensions })))(root.certificatePem)).toBe('certificate_invalid');
  });

  test('is refused when who issued it may not, or not so deep', async () => {
    const plain = await leaf({ name: 'Plain' });
    const child = await leaf({ issuer: plain });
    expect((await signedBy(child, [plain, middle]))(root.certificatePem)).toBe('certificate_untrusted');
    const flat = await issueCertificate({
      name: 'Flat',
      extensions: ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign'],
    });
    const below = await issueCertificate({ name: 'Below', extensions: AUTHORITY, issuer: flat });
    const deep = await leaf({ issuer: below });
    expect((await signedBy(deep, [below]))(flat.certificatePem)).toBe('certificate_invalid');
    expect((await signedBy(await leaf({ issuer: flat }), []))(flat.certificatePem)).toBe('CN=Registry');
  });

  test('does not vouch for a signature of another key', async () => {
    const [one, other] = [await leaf(), createFileSigner(generateKeyPair().privateKeyPem)];
    const honest = withCertificates(
      createFileSigner(one.privateKeyPem),
      one.certificatePem + middle.certificatePem,
    );
    const forger: Signer = { ...honest, sign: (bytes) => other.sign(bytes) };
    const bundle = await signModel(manifest, forger, 'demo');
    expect(thrown(() => verifyModel(bundle, root.certificatePem, files)).code).toBe('signature_invalid');
    expect(() => withCertificates(other, one.certificatePem)).toThrow(/not of the key that signs/);
    expect(() => withCertificates(other, other.keyId())).toThrow(/no certificate/);
  });
});

describe('keys', () => {
  test.each(['P-384', 'P-521'] as const)(
    'a signature on %s verifies, and none is made on it',
    async (namedCurve) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
      const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
      const hash = namedCurve === 'P-384' ? 'sha384' : 'sha512';
      const signer: Signer = {
        keyId: () => publicKeyId(pem),
        sign: async (bytes) => sign(hash, bytes, privateKey),
      };
      expect(verifyModel(await signModel(manifest, signer, 'demo'), pem, files).keyId).toBe(publicKeyId(pem));
      const weak: Signer = { ...signer, sign: async (bytes) => sign('sha256', bytes, privateKey) };
      const bundle = await signModel(manifest, weak, 'demo');
      expect(thrown(() => verifyModel(bundle, pem, files)).code).toBe('signature_invalid');
      const own = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      expect(() => createFileSigner(own)).toThrow(/P-256/);
    },
  );

  test('of other kinds are not taken', () => {
    const ed = generateKeyPairSync('ed25519');
    const pem = ed.publicKey.export({ type: 'spki', format: 'pem' }).toString();
    expect(() => publicKeyId(pem)).toThrow(/P-256/);
    expect(() => createFileSigner(ed.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())).toThrow(
      TypeError,
    );
    expect(() => createFileSigner('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----')).toThrow(
      TypeError,
    );
  });

  test('are rotated by one file with both: old signatures stay valid, and each says its key', async () => {
    const [before, after] = [generateKeyPair(), generateKeyPair()];
    const trusted = before.publicKeyPem + after.publicKeyPem;
    for (const { privateKeyPem, publicKeyPem } of [before, after]) {
      const bundle = await signModel(manifest, createFileSigner(privateKeyPem), 'demo');
      expect(verifyModel(bundle, trusted, files).keyId).toBe(publicKeyId(publicKeyPem));
    }
    const old = await signModel(manifest, createFileSigner(before.privateKeyPem), 'demo');
    expect(thrown(() => verifyModel(old, after.publicKeyPem, files)).code).toBe('signature_key_unknown');
    expect(() => verifyModel(old, before.privateKeyPem, files)).toThrow(/cannot be trusted/);
    expect(() => verifyModel(old, 'nothing', files)).toThrow(/no PEM/);
  });
});

describe('a program that signs', () => {
  const keys = generateKeyPair();
  const program = (program: string, ...args: string[]) =>
    createCommandSigner({ program, args, publicKeyPem: keys.publicKeyPem, timeoutMs: 5_000 });
  const code = (signer: Signer) =>
    signer.sign(Buffer.from('x')).then(
      () => 'ok',
      (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
    );

  test('gets the digest and gives a signature that verifies; this process never has the key', async () => {
    const file = join(home, 'hsm.pem');
    await writeFile(file, keys.privateKeyPem);
    const signer = program('openssl', 'pkeyutl', '-sign', '-inkey', file, '-pkeyopt', 'digest:sha256');
    const bundle = await signModel(manifest, signer, 'demo');
    expect(verifyModel(bundle, keys.publicKeyPem, files).keyId).toBe(publicKeyId(keys.publicKeyPem));
    await writeFile(file, generateKeyPair().privateKeyPem);
    expect(await code(signer)).toMatch(/^signer_unavailable: .*does not verify/);
  });

  test('is not believed when it fails, hangs, talks too much or is not there', async () => {
    expect(await code(program('sh', '-c', 'echo no token >&2; exit 3'))).toMatch(/ended with 3: no token/);
    expect(await code(program('sh', '-c', 'cat /dev/zero'))).toMatch(/more than a signature/);
    expect(await code(program('/nowhere/hsm'))).toMatch(/cannot be started/);
    expect(await code(program('true'))).toMatch(/does not verify/);
    const slow = createCommandSigner({
      program: 'sleep',
      args: ['60'],
      publicKeyPem: keys.publicKeyPem,
      timeoutMs: 100,
    });
    expect(await code(slow)).toMatch(/did not sign within 100 ms/);
  });
});

function createPublicKeyPem({ certificatePem }: IssuedCertificate): string {
  return createPublicKey(certificatePem).export({ type: 'spki', format: 'pem' }).toString();
}
