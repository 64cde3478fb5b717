import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { AUTHORITY, issueCertificate, SIGNING } from '@millrace/testing';
import {
  createFileSigner,
  createManifest,
  digestFile,
  generateKeyPair,
  signModel,
  verifyModel,
  withCertificates,
} from '../src/index.ts';

const run = promisify(execFile);
const keys = generateKeyPair();
let home: string;
let model: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'interop-'));
  model = join(home, 'demo');
  const texts = { 'a-b.txt': '1', 'a/b.txt': '2', 'model.onnx': '3', 'variables/é.bin': '4', 'z/empty': '' };
  for (const [path, text] of Object.entries(texts)) {
    await mkdir(dirname(join(model, path)), { recursive: true });
    await writeFile(join(model, path), text);
  }
  await writeFile(join(home, 'key.pem'), keys.privateKeyPem);
  await writeFile(join(home, 'pub.pem'), keys.publicKeyPem);
});

afterEach(() => rm(home, { recursive: true }));

/** The reference tool of the specification, which is a part of the platform's own Python environments. */
async function modelSigning(): Promise<string> {
  const root = join(import.meta.dirname, '../../..');
  const environments = process.env.MILLRACE_ENVS_DIR ?? join(root, '.millrace/envs');
  for (const name of ['dev', 'tools']) {
    const path = join(environments, name, 'bin/model_signing');
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(
    `There is no model_signing under ${environments}/dev; run "npm test" from the root, which installs it.`,
  );
}

async function filesOf(folder: string) {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    paths.map(async (path) => ({ path: relative(folder, path), ...(await digestFile(path)) })),
  );
}

test('the reference tool accepts our signature, and refuses it for a changed model', async () => {
  const bundle = await signModel(
    createManifest(await filesOf(model)),
    createFileSigner(keys.privateKeyPem),
    'demo',
  );
  await writeFile(join(home, 'model.sig'), JSON.stringify(bundle));
  const verify = [
    'verify',
    'key',
    model,
    '--signature',
    join(home, 'model.sig'),
    '--public_key',
    join(home, 'pub.pem'),
  ];
  const tool = await modelSigning();
  expect((await run(tool, verify)).stdout).toMatch(/succeeded/i);
  await writeFile(join(model, 'extra'), 'x');
  await expect(run(tool, verify)).rejects.toMatchObject({ code: 1 });
});

test('we accept the signature of the reference tool, and refuse it for a changed model', async () => {
  const signature = join(home, 'model.sig');
  await run(await modelSigning(), [
    'sign',
    'key',
    model,
    '--signature',
    signature,
    '--private_key',
    join(home, 'key.pem'),
  ]);
  const bundle = await readFile(signature);
  const files = await filesOf(model);
  expect(verifyModel(bundle, keys.publicKeyPem, files).name).toBe('demo');
  await writeFile(join(model, 'model.onnx'), '4');
  const changed = await filesOf(model);
  expect(() => verifyModel(bundle, keys.publicKeyPem, changed)).toThrow(
    expect.objectContaining({ code: 'digest_mismatch' }),
  );
});

test('by certificate it goes both ways as well, and an authority that is not trusted is refused by both', async () => {
  const tool = await modelSigning();
  const root = await issueCertificate({ name: 'Root', extensions: AUTHORITY });
  const stranger = await issueCertificate({ name: 'Root', extensions: AUTHORITY });
  const middle = await issueCertificate({ name: 'Middle', extensions: AUTHORITY, issuer: root });
  const leaf = await issueCertificate({ name: 'Registry', extensions: SIGNING, issuer: middle });
  const place = async (name: string, text: string): Promise<string> => {
    await writeFile(join(home, name), text);
    return join(home, name);
  };
  const [rootFile, strangerFile] = [
    await place('root.pem', root.certificatePem),
    await place('stranger.pem', stranger.certificatePem),
  ];
  const signer = withCertificates(
    createFileSigner(leaf.privateKeyPem),
    leaf.certificatePem + middle.certificatePem,
  );
  const ours = await signModel(createManifest(await filesOf(model)), signer, 'demo');
  const ourFile = await place('ours.sig', JSON.stringify(ours));
  const verify = (trusted: string) =>
    run(tool, ['verify', 'certificate', model, '--signature', ourFile, '--certificate_chain', trusted]);
  expect((await verify(rootFile)).stdout).toMatch(/succeeded/i);
  await expect(verify(strangerFile)).rejects.toMatchObject({ code: 1 });

  const theirFile = join(home, 'theirs.sig');
  await run(tool, [
    ...['sign', 'certificate', model, '--signature', theirFile],
    ...['--private_key', await place('leaf-key.pem', leaf.privateKeyPem)],
    ...['--signing_certificate', await place('leaf.pem', leaf.certificatePem)],
    ...['--certificate_chain', await place('middle.pem', middle.certificatePem)],
  ]);
  const theirs = await readFile(theirFile);
  const files = await filesOf(model);
  expect(verifyModel(theirs, root.certificatePem, files)).toMatchObject({ certificate: 'CN=Registry' });
  expect(() => verifyModel(theirs, stranger.certificatePem, files)).toThrow(
    expect.objectContaining({ code: 'certificate_untrusted' }),
  );
});

test.each(['P-384', 'P-521'])('a signature of the reference tool on %s verifies here', async (curve) => {
  const keyFile = join(home, 'curve.pem');
  await run('openssl', [
    ...['genpkey', '-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${curve}`, '-out', keyFile],
  ]);
  const publicKey = (await run('openssl', ['pkey', '-in', keyFile, '-pubout'])).stdout;
  const signature = join(home, 'curve.sig');
  await run(await modelSigning(), [
    ...['sign', 'key', model, '--signature', signature, '--private_key', keyFile],
  ]);
  expect(verifyModel(await readFile(signature), publicKey, await filesOf(model)).name).toBe('demo');
});
