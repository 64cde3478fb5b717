import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import {
  createManifest,
  generateKeyPair,
  publicKeyId,
  sha256Hex,
  signModel,
  verifyModel,
} from '@millrace/integrity';
import { AUTHORITY, isLongRun, issueCertificate, SIGNING } from '@millrace/testing';
import { openSigningKey } from '../../src/registration/signing-key.ts';
import { createSoftwareToken } from '../support/software-token.ts';

const home = mkdtempSync(join(tmpdir(), 'signing-key-'));
const files = [{ path: 'model.onnx', sha256: sha256Hex('m'), sizeBytes: 1 }];
afterAll(() => rmSync(home, { recursive: true }));

function file(name: string, text: string): string {
  writeFileSync(join(home, name), text);
  return join(home, name);
}

test('a file, the environment and a program are one key each, and sign what the others verify', async () => {
  const keys = generateKeyPair();
  const signingKeyFile = file('key.pem', keys.privateKeyPem);
  const command = ['openssl', 'pkeyutl', '-sign', '-inkey', signingKeyFile, '-pkeyopt', 'digest:sha256'];
  const sources = [
    { signingKeyFile },
    { signingKey: keys.privateKeyPem },
    { signingCommand: JSON.stringify(command), signingCommandKeyFile: file('pub.pem', keys.publicKeyPem) },
  ].map(openSigningKey);
  for (const { signer, publicKeyPem } of sources) {
    const bundle = await signModel(createManifest(files), signer, 'demo');
    for (const { trustedPem } of sources)
      expect(verifyModel(bundle, trustedPem, files).keyId).toBe(publicKeyId(keys.publicKeyPem));
    expect(publicKeyPem).toBe(keys.publicKeyPem);
  }
});

test('after a rotation what the old key signed is still taken', async () => {
  const [before, after] = [generateKeyPair(), generateKeyPair()];
  const old = openSigningKey({ signingKey: before.privateKeyPem });
  const bundle = await signModel(createManifest(files), old.signer, 'demo');
  const now = openSigningKey({
    signingKey: after.privateKeyPem,
    signingPublicKeyFile: file('older.pem', before.publicKeyPem),
  });
  expect(now.signer.keyId()).toBe(publicKeyId(after.publicKeyPem));
  expect(verifyModel(bundle, now.trustedPem, files).keyId).toBe(publicKeyId(before.publicKeyPem));
});

test('with a certificate it signs by certificate, which its root verifies', async () => {
  const root = await issueCertificate({ name: 'Root', extensions: AUTHORITY });
  const leaf = await issueCertificate({ name: 'Registry', extensions: SIGNING, issuer: root });
  const key = openSigningKey({
    signingKey: leaf.privateKeyPem,
    signingCertificateFile: file('chain.pem', leaf.certificatePem),
    signingPublicKeyFile: file('root.pem', root.certificatePem),
  });
  const bundle = await signModel(createManifest(files), key.signer, 'demo');
  expect(verifyModel(bundle, root.certificatePem, files).certificate).toBe('CN=Registry');
  expect(verifyModel(bundle, key.trustedPem, files).certificate).toBe('CN=Registry');
});

test('none, two and unusable sources are refused with what to set', () => {
  const { privateKeyPem } = generateKeyPair();
  expect(() => openSigningKey({})).toThrow(/exactly one of/);
  expect(() => openSigningKey({ signingKey: privateKeyPem, signingCommand: '["x"]' })).toThrow(
    /exactly one of/,
  );
  for (const signingCommand of ['sign me', '[]', '[1]', '{}'])
    expect(() => openSigningKey({ signingCommand, signingCommandKeyFile: 'x' })).toThrow(/JSON array/);
  expect(() =>
    openSigningKey({ signingKey: privateKeyPem, signingPublicKeyFile: file('empty.pem', 'nothing') }),
  ).toThrow(/no PEM/);
});

// fetches packages of Debian
if (isLongRun)
  test('a key in a PKCS#11 token signs by pkcs11-tool what any verifier takes, and a wrong PIN signs nothing', async () => {
    const { command, publicKeyPem } = await createSoftwareToken(mkdtempSync(join(home, 'token-')));
    const signingCommandKeyFile = file('token.pem', publicKeyPem);
    const sign = (program: readonly string[]) => {
      const { signer } = openSigningKey({ signingCommand: JSON.stringify(program), signingCommandKeyFile });
      return signModel(createManifest(files), signer, 'demo');
    };
    const { keyId } = verifyModel(await sign(command), publicKeyPem, files);
    expect(keyId).toBe(publicKeyId(publicKeyPem));
    const wrongPin = command.map((part) => (part.startsWith('PKCS11_PIN=') ? 'PKCS11_PIN=0000' : part));
    await expect(sign(wrongPin)).rejects.toMatchObject({ code: 'signer_unavailable' });
    const otherToken = command.map((part) => (part === 'millrace' ? 'other' : part));
    await expect(sign(otherToken)).rejects.toMatchObject({ code: 'signer_unavailable' });
  }, 120_000);
