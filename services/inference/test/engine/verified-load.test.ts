import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import type { ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import {
  bundleFiles,
  createFileSigner,
  generateKeyPair,
  signStatement,
  versionIdentityStatement,
} from '@millrace/integrity';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import { makeBundle, tamperCases } from '@millrace/testing';
import { openSession } from '../../src/engine/runtime-session.ts';
import { verifyPackage } from '../../src/packages/verify-package.ts';

const LOADS = 150;
const home = mkdtempSync(join(tmpdir(), 'verified-load-'));
const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}.onnx`, import.meta.url));
afterAll(() => rmSync(home, { recursive: true }));

test('a file that is swapped all the time while it is loaded is loaded as it was signed, or not at all', async () => {
  const path = join(home, 'model.onnx');
  const [good, evil] = [fixture('classifier'), fixture('counter')];
  for (const [name, bytes] of Object.entries({ good, evil })) writeFileSync(join(home, name), bytes);
  writeFileSync(path, good);
  const sha256 = createHash('sha256').update(good).digest('hex');
  const options = { threads: 1, outputBytesMax: 1024 * 1024 };
  const expected = (await openSession({ path, sha256 }, options)).signature;
  // another process, so that the swap comes at any point of a load; each name is whole at any time
  const swap = `while :; do
    ln "$0/evil" "$0/next" && mv -f "$0/next" "$0/model.onnx"
    ln "$0/good" "$0/next" && mv -f "$0/next" "$0/model.onnx"
  done`;
  const swapper = spawn('sh', ['-c', swap, home], { stdio: 'ignore' });
  const outcomes = { loaded: 0, refused: 0 };
  try {
    for (let i = 0; i < LOADS || outcomes.loaded === 0 || outcomes.refused === 0; i += 1) {
      try {
        const session = await openSession({ path, sha256 }, options);
        expect(session.signature).toEqual(expected);
        await session.close();
        outcomes.loaded += 1;
      } catch (error) {
        expect(error).toMatchObject({ code: 'digest_mismatch' });
        outcomes.refused += 1;
      }
    }
  } finally {
    swapper.kill('SIGKILL');
  }
  expect(outcomes.loaded).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
});

test('whatever a registry answers, a package that was tampered with is refused before a byte is read', async () => {
  const keys = generateKeyPair();
  const signer = createFileSigner(keys.privateKeyPem);
  const bundle = (version: string) =>
    makeBundle(
      {
        model: 'demo',
        version,
        files: { 'model.onnx': Buffer.from(version), 'labels.txt': Buffer.from(`label ${version}`) },
      },
      signer,
    );
  const entries = await bundle('v2');
  const setting = {
    entries,
    older: await bundle('v1'),
    signer,
    stranger: createFileSigner(generateKeyPair().privateKeyPem),
  };
  /** The answer of a registry that has these parts; undefined when they are not even JSON. */
  const resolved = (from: typeof entries): ResolvedVersion | undefined => {
    const json = (path: string) =>
      JSON.parse(from.find((entry) => entry.path === path)?.bytes.toString() ?? '');
    try {
      return {
        manifest: json(bundleFiles.manifest),
        signature: json(bundleFiles.signature),
        packageDigest: json(bundleFiles.about).packageDigest,
        servingFile: 'model.onnx',
      } as ResolvedVersion;
    } catch {
      return undefined;
    }
  };
  const named = {
    ...{ modelId: newId(), model: 'demo', modelVersionId: newId(), version: 'v2', ordinal: 2 },
    ...(resolved(entries) as ResolvedVersion),
  };
  const statement = versionIdentityStatement({ ...named, tenant: PLATFORM_TENANT });
  const identity = { ...(await signStatement(statement, signer)) };
  const honest: ResolvedVersion = { ...named, identity };
  expect(verifyPackage(honest, keys.publicKeyPem).path).toBe('model.onnx');
  let refused = 0;
  for (const { name, make } of tamperCases) {
    const answer = resolved(await make(setting));
    // the digest that is asked for comes from the version, not from its package; bytes are checked as they are read
    const { signature, manifest, packageDigest } = answer ?? honest;
    if (JSON.stringify({ signature, manifest, packageDigest }) === JSON.stringify(pick(honest))) continue;
    const code = refusalOf(() =>
      verifyPackage({ ...honest, signature, manifest, packageDigest }, keys.publicKeyPem),
    );
    expect([name, code]).toEqual([name, expect.stringMatching(/^(signature|manifest|digest)_/)]);
    refused += 1;
  }
  expect(refused).toBeGreaterThanOrEqual(19);
  // each name that a loader goes by is bound, and nothing else will do for the statement that binds them
  const other = versionIdentityStatement({ ...named, ordinal: 1, version: 'v1', tenant: PLATFORM_TENANT });
  const stranger = { ...(await signStatement(statement, setting.stranger)) };
  const changes: [Partial<ResolvedVersion>, string][] = [
    [{ version: 'v3' }, 'manifest_mismatch'],
    [{ ordinal: 3 }, 'manifest_mismatch'],
    [{ model: 'other' }, 'manifest_mismatch'],
    [{ tenant: 'other' }, 'manifest_mismatch'],
    [{ modelId: newId() }, 'manifest_mismatch'],
    [{ modelVersionId: newId() }, 'manifest_mismatch'],
    [{ servingFile: 'labels.txt' }, 'manifest_mismatch'],
    [{ identity: { ...(await signStatement(other, signer)) } }, 'manifest_mismatch'],
    [{ identity: stranger }, 'signature_key_unknown'],
    [{ identity: honest.signature }, 'signature_malformed'],
    [{ identity: {} }, 'signature_malformed'],
  ];
  for (const [change, code] of changes)
    expect([change, refusalOf(() => verifyPackage({ ...honest, ...change }, keys.publicKeyPem))]).toEqual([
      change,
      code,
    ]);
  const { identity: _without, ...unbound } = honest;
  expect(refusalOf(() => verifyPackage(unbound, keys.publicKeyPem))).toBe('identity_missing');
});

const pick = ({ signature, manifest, packageDigest }: ResolvedVersion) => ({
  signature,
  manifest,
  packageDigest,
});

function refusalOf(run: () => unknown): string {
  try {
    run();
    return 'accepted';
  } catch (error) {
    return String((error as { code?: string }).code);
  }
}
