import { beforeAll, expect, test } from '@jest/globals';
import type { Signer, Statement } from '../src/index.ts';
import {
  CONVERSION_BUILD_TYPE,
  CONVERSION_STATEMENT,
  createFileSigner,
  encodeStatement,
  generateKeyPair,
  metaStatement,
  packageSubjects,
  provenanceStatement,
  sha256Hex,
  signStatement,
  verifyPackageStatements,
} from '../src/index.ts';

const digests = {
  packageDigest: 'aa'.repeat(32),
  modelDigest: 'bb'.repeat(32),
  rootDigest: 'cc'.repeat(32),
};
const ONNX = 'dd'.repeat(32);
const about = { ...digests, files: [{ sha256: ONNX }] };
const subjects = packageSubjects(digests);
const build = { externalParameters: {}, resolvedDependencies: [], builderId: 'urn:x', invocationId: 'job' };

const { privateKeyPem, publicKeyPem } = generateKeyPair();
let signer: Signer;
beforeAll(() => {
  signer = createFileSigner(privateKeyPem);
});

const conversionOf = (sha256: string): Statement =>
  provenanceStatement({
    ...build,
    buildType: CONVERSION_BUILD_TYPE,
    subjects: [{ name: 'model.onnx', digest: { sha256 } }, ...subjects],
  });

async function signed(from: { named?: Statement; carried?: Statement }) {
  const byproducts =
    from.named === undefined
      ? []
      : [{ name: CONVERSION_STATEMENT, digest: { sha256: sha256Hex(encodeStatement(from.named)) } }];
  return {
    provenance: await signStatement(
      provenanceStatement({ ...build, buildType: 'urn:build', subjects, byproducts }),
      signer,
    ),
    meta: await signStatement(metaStatement(subjects, {}), signer),
    ...(from.carried !== undefined && { conversion: await signStatement(from.carried, signer) }),
  };
}

test('a build with its conversion, and one that converted nothing', async () => {
  const conversion = conversionOf(ONNX);
  const both = verifyPackageStatements(
    await signed({ named: conversion, carried: conversion }),
    publicKeyPem,
    about,
  );
  expect(both.conversion).toEqual(JSON.parse(encodeStatement(conversion).toString()));
  expect(Object.keys(verifyPackageStatements(await signed({}), publicKeyPem, about))).toEqual([
    'provenance',
    'meta',
  ]);
});

const refused: [string, { named?: Statement; carried?: Statement }, RegExp][] = [
  ['left out', { named: conversionOf(ONNX) }, /is missing/],
  [
    'replaced by another signed one',
    { named: conversionOf(ONNX), carried: conversionOf('ee'.repeat(32)) },
    /is not the one that the provenance names/,
  ],
  ['put in', { carried: conversionOf(ONNX) }, /is not the one that the provenance names/],
  [
    'about a file that the package does not have',
    { named: conversionOf('ee'.repeat(32)), carried: conversionOf('ee'.repeat(32)) },
    /made no file of this package/,
  ],
];

test.each(refused)('a statement of the conversion that is %s is refused', async (_what, from, message) => {
  const statements = await signed(from);
  expect(() => verifyPackageStatements(statements, publicKeyPem, about)).toThrow(message);
});

test('the statement of a conversion does not pass for that of the build', async () => {
  const { meta } = await signed({});
  const provenance = await signStatement(conversionOf(ONNX), signer);
  expect(() => verifyPackageStatements({ provenance, meta }, publicKeyPem, about)).toThrow(
    /tells of a conversion only/,
  );
});
