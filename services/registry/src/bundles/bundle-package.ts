import { Readable } from 'node:stream';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { BundleSource, OpenedBundle } from '@millrace/integrity';
import { MODEL_FOLDER } from '@millrace/integrity';
import type { TensorSpec } from '@millrace/onnx';
import type { Storage } from '@millrace/storage';
import { MODEL_JSON, readTfjsModel } from '@millrace/tfjs';
import { SERVING_PATH } from '../registration/graph.ts';
import { inspectStored } from '../registration/inspect.ts';
import { isPickle } from '../registration/pickles.ts';
import { toTensorSpec } from '../uploads/prepare-tfjs.ts';
import { NOT_SERVABLE } from '../versions/version.repository.ts';

/** Folder of an imported package for what the other registry had signed. */
const ORIGIN_FOLDER = 'origin/';
/** Digits of a package digest that keep what several registries signed apart. */
const DIGEST_DIGITS = 16;
/** A model.json over this is kept and not served (bytes). */
const MODEL_JSON_BYTES_MAX = 32 * 1024 * 1024;
/** By which a pickle is known. */
const PICKLE_HEAD_BYTES = 2;

/** What serves an imported package. */
export type ServedAs = {
  readonly framework: string;
  readonly servingFile: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** The graph that is served, where the bundle has none that can be. */
  readonly made: readonly ArtifactRef[];
};

/** Stores the files of a verified bundle by the digests that were verified, and names those that hold pickles. */
export async function storePackage(
  storage: Storage,
  source: BundleSource,
  { manifest }: OpenedBundle,
): Promise<string[]> {
  const pickles: string[] = [];
  const files = new Map(manifest.files.map((file) => [`${MODEL_FOLDER}${file.path}`, file]));
  await source(async (path, _sizeBytes, content) => {
    const file = files.get(path);
    if (file === undefined) {
      for await (const _ of content);
      return;
    }
    const { sha256, sizeBytes } = file;
    let head = Buffer.alloc(0);
    async function* watched(): AsyncGenerator<Buffer> {
      for await (const chunk of content) {
        if (head.length < PICKLE_HEAD_BYTES)
          head = Buffer.concat([head, chunk.subarray(0, PICKLE_HEAD_BYTES)]);
        yield chunk;
      }
    }
    await storage.putBlob(Readable.from(watched(), { objectMode: false }), { sha256, sizeBytes });
    if (isPickle(file.path, head)) pickles.push(file.path);
  });
  return pickles;
}

/** Stores what lies beside the package: signatures and statements of the other registry, and its history. */
export async function storeOrigin(
  storage: Storage,
  { documents, summary }: OpenedBundle,
): Promise<ArtifactRef[]> {
  const folder = `${ORIGIN_FOLDER}${summary.packageDigest.slice(0, DIGEST_DIGITS)}/`;
  const refs: ArtifactRef[] = [];
  for (const [name, bytes] of documents)
    refs.push({ path: `${folder}${name}`, ...(await storage.putBlob(bytes)) });
  return refs;
}

/**
 * What of a stored package is served here: its ONNX graph or TF.js model, read anew and believed only then; anything
 * else is kept, signed and not served. Throws what inspectStored and readTfjsModel throw.
 */
export async function servedAs(
  storage: Storage,
  files: readonly ArtifactRef[],
  framework: string,
): Promise<ServedAs> {
  const own = files.filter(({ path }) => !path.startsWith(ORIGIN_FOLDER));
  const graphs = own.filter(({ path }) => path.endsWith('.onnx'));
  const graph =
    graphs.find(({ path }) => path === SERVING_PATH) ?? (graphs.length === 1 ? graphs[0] : undefined);
  if (graph !== undefined) {
    const { inputs, outputs, serving } = await inspectStored(storage, graph);
    if (serving === undefined)
      return { framework: 'onnx', servingFile: graph.path, inputs, outputs, made: [] };
    if (graph.path === SERVING_PATH)
      throw new AppError(
        'unsupported_output',
        `${SERVING_PATH} of the bundle is no graph that can be served.`,
      );
    const made = [{ path: SERVING_PATH, ...serving }];
    return { framework: 'onnx', servingFile: SERVING_PATH, inputs, outputs, made };
  }
  const json = own.find(({ path }) => path === MODEL_JSON);
  if (framework === 'tensorflow' && json !== undefined && json.sizeBytes <= MODEL_JSON_BYTES_MAX) {
    const model = readTfjsModel(await storage.getBlobBuffer(json.sha256, { maxBytes: MODEL_JSON_BYTES_MAX }));
    return {
      framework,
      servingFile: MODEL_JSON,
      inputs: model.inputs.map(toTensorSpec),
      outputs: model.outputs.map(toTensorSpec),
      made: [],
    };
  }
  return { framework, servingFile: NOT_SERVABLE, inputs: [], outputs: [], made: [] };
}
