import { expect, test } from '@jest/globals';
import {
  createFileSigner,
  generateKeyPair,
  MODEL_META_TYPE,
  metaStatement,
  PROVENANCE_TYPE,
  packageSubjects,
  provenanceStatement,
  sha256Hex,
  signStatement,
  verifyModel,
  verifyStatement,
} from '../src/index.ts';
import { thrown } from './thrown.ts';

const keys = generateKeyPair();
const signer = createFileSigner(keys.privateKeyPem);
const digests = { packageDigest: sha256Hex('p'), modelDigest: sha256Hex('m'), rootDigest: sha256Hex('r') };

function provenance() {
  return provenanceStatement({
    subjects: packageSubjects(digests),
    buildType: 'urn:millrace:build:train:v1',
    externalParameters: { recipe: 'verichain', epochs: 5, learningRate: 0.001 },
    resolvedDependencies: [{ name: 'dataset', digest: { sha256: sha256Hex('d') } }],
    builderId: 'urn:millrace:training-orchestrator',
    invocationId: '0190c0de-0000-7000-8000-000000000001',
    startedOn: '2026-01-01T00:00:00Z',
  });
}

test('signed provenance verifies for each of its digests and has the fields of SLSA v1', async () => {
  const bundle = await signStatement(provenance(), signer);
  const { statement } = verifyStatement(JSON.stringify(bundle), keys.publicKeyPem, {
    predicateType: PROVENANCE_TYPE,
    subjectDigests: Object.values(digests),
  });
  expect(statement.predicate).toEqual({
    buildDefinition: {
      buildType: 'urn:millrace:build:train:v1',
      externalParameters: { recipe: 'verichain', epochs: 5, learningRate: 0.001 },
      internalParameters: {},
      resolvedDependencies: [{ name: 'dataset', digest: { sha256: sha256Hex('d') } }],
    },
    runDetails: {
      builder: { id: 'urn:millrace:training-orchestrator' },
      metadata: { invocationId: '0190c0de-0000-7000-8000-000000000001', startedOn: '2026-01-01T00:00:00Z' },
      byproducts: [],
    },
  });
});

test('a statement about another model, or of another type, is refused', async () => {
  const bundle = await signStatement(provenance(), signer);
  const other = { predicateType: PROVENANCE_TYPE, subjectDigests: [digests.rootDigest, sha256Hex('x')] };
  expect(thrown(() => verifyStatement(bundle, keys.publicKeyPem, other))).toMatchObject({
    code: 'manifest_mismatch',
    details: { missing: [sha256Hex('x')] },
  });
  const meta = { predicateType: MODEL_META_TYPE };
  expect(thrown(() => verifyStatement(bundle, keys.publicKeyPem, meta)).code).toBe('signature_malformed');
  expect(thrown(() => verifyModel(bundle, keys.publicKeyPem, [])).code).toBe('signature_malformed');
});

test('meta.json survives signing unchanged', async () => {
  const meta = { accuracy: 0.97, interval: [0.95, 0.99], framework: 'keras', name: 'VeriChain ü' };
  const bundle = await signStatement(metaStatement(packageSubjects(digests), meta), signer);
  const { statement } = verifyStatement(bundle, keys.publicKeyPem, { predicateType: MODEL_META_TYPE });
  expect(statement.predicate).toEqual(meta);
});
