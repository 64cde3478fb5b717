import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Signer } from '@millrace/integrity';
import {
  BUNDLE_FORMAT,
  bundleFiles,
  CHAIN_GENESIS,
  canonicalJson,
  chainHash,
  createManifest,
  historyStatement,
  MODEL_FOLDER,
  metaStatement,
  packageDigest,
  packageSubjects,
  provenanceStatement,
  rootDigest,
  sha256Hex,
  signModel,
  signStatement,
  tarEnd,
  tarFileHeader,
  tarPadding,
  versionIdentityStatement,
} from '@millrace/integrity';

/** An entry of a bundle; `type` is that of a tar: `0` file, `1` hard link, `2` symbolic link, `3` device. */
export type BundleEntry = {
  readonly path: string;
  readonly bytes: Buffer;
  readonly type?: '0' | '1' | '2' | '3';
  /** Where a link points. */
  readonly target?: string;
};

export type BundleFixture = {
  readonly model: string;
  readonly version: string;
  readonly files: Readonly<Record<string, Buffer>>;
};

/** A bundle as the registry and the command line make it, signed by `signer`. */
export async function makeBundle(from: BundleFixture, signer: Signer): Promise<BundleEntry[]> {
  const { model, version } = from;
  const refs = Object.entries(from.files).map(([path, bytes]) => ({
    path,
    sha256: sha256Hex(bytes),
    sizeBytes: bytes.length,
  }));
  const manifest = createManifest(refs);
  const digest = packageDigest(manifest);
  const modelVersionId = '0190c0de-0000-7000-8000-000000000001';
  const subjects = packageSubjects({
    packageDigest: digest,
    modelDigest: sha256Hex(model),
    rootDigest: rootDigest(manifest),
  });
  const entries = [
    { action: 'registered', model, modelVersionId, version, packageDigest: digest, by: 'anna', seq: 1 },
    { action: 'stage-changed', model, modelVersionId, version, by: 'boris', seq: 2 },
  ];
  let head = CHAIN_GENESIS;
  const rows = entries.map((entry) => {
    const prevHash = head;
    head = chainHash(prevHash, entry);
    return { entry, prevHash, hash: head };
  });
  const at = new Date().toISOString();
  const history = {
    model,
    version,
    modelVersionId,
    after: CHAIN_GENESIS,
    head,
    rows: rows.length,
    isComplete: true,
    at,
  };
  const provenance = provenanceStatement({
    subjects,
    buildType: 'urn:millrace:build:upload:v1',
    externalParameters: {},
    resolvedDependencies: [],
    builderId: 'urn:millrace:registry',
    invocationId: 'request',
  });
  const identity = versionIdentityStatement({
    tenant: 'default',
    modelId: '0190c0de-0000-7000-8000-000000000002',
    model,
    modelVersionId,
    version,
    ordinal: Number(/\d+/.exec(version)?.[0] ?? 1),
    packageDigest: digest,
    servingFile: 'model.onnx' in from.files ? 'model.onnx' : '',
  });
  const about = { format: BUNDLE_FORMAT, model, version, packageDigest: digest, exportedAt: at };
  const documents: [string, unknown][] = [
    [bundleFiles.about, about],
    [bundleFiles.signature, await signModel(manifest, signer, model)],
    [bundleFiles.provenance, await signStatement(provenance, signer)],
    [bundleFiles.meta, await signStatement(metaStatement(subjects, { accuracy: 0.9 }), signer)],
    [bundleFiles.identity, await signStatement(identity, signer)],
    [bundleFiles.history, { rows }],
    [bundleFiles.historyStatement, await signStatement(historyStatement(subjects, history), signer)],
  ];
  return [
    { path: bundleFiles.manifest, bytes: Buffer.from(canonicalJson({ files: manifest.files })) },
    ...documents.map(([path, value]) => ({ path, bytes: Buffer.from(JSON.stringify(value)) })),
    ...Object.entries(from.files).map(([path, bytes]) => ({ path: `${MODEL_FOLDER}${path}`, bytes })),
  ];
}

/** Writes a bundle as a folder; entries that a folder cannot have are an error. */
export async function writeBundleFolder(folder: string, entries: readonly BundleEntry[]): Promise<void> {
  for (const { path, bytes, type = '0', target = '' } of entries) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    if (type === '0') await writeFile(file, bytes);
    else if (type === '2') await symlink(target, file);
    else throw new Error(`A folder of a test holds no entry of the type ${type}.`);
  }
}

/** A bundle as a tar, also with entries that no export makes. */
export function bundleTar(entries: readonly BundleEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, bytes, type = '0', target = '' }) => {
    if (type === '0') return [tarFileHeader(path, bytes.length), bytes, tarPadding(bytes.length)];
    return [retyped(tarFileHeader(path, 0), type, target)];
  });
  return Buffer.concat([...blocks, tarEnd()]);
}

/** Another type and link in a header, whose sum is made to fit. */
function retyped(header: Buffer, type: string, target: string): Buffer {
  const changed = Buffer.from(header);
  changed.write(type, 156);
  changed.write(target, 157, 100);
  changed.write(' '.repeat(8), 148);
  const sum = changed.reduce((total, byte) => total + byte, 0);
  changed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return changed;
}
