import { AppError } from '@millrace/contracts';
import { assertArtifactPath, canonicalJson, sha256Hex } from '@millrace/integrity';
import type { TfjsModel } from '@millrace/tfjs';
import { assertShards, defaultTfjsLimits, MODEL_JSON, readTfjsModel } from '@millrace/tfjs';
import type { UploadFiles } from './archive/archive-files.ts';
import { createArchiveSink } from './archive/archive-files.ts';
import { readTarGz } from './archive/tar.ts';
import { readZip } from './archive/zip.ts';
import type { UploadedPart } from './multipart.ts';
import type { SpoolArea, SpooledFile } from './spool.ts';

/** What an upload turned out to be. */
export type UploadedModel =
  | { readonly kind: 'onnx'; readonly file: SpooledFile }
  | { readonly kind: 'tfjs'; readonly model: TfjsModel; readonly files: UploadFiles }
  | { readonly kind: 'saved_model' | 'keras' | 'weights'; readonly files: UploadFiles };

/** The file of a Keras model under its own name, whatever the sender called it. */
const KERAS_FILE = 'model.keras';
/** Weights by themselves, or with what is done with them. */
const WEIGHTS_FILE = 'model.safetensors';
const OF_WEIGHTS: ReadonlySet<string> = new Set([WEIGHTS_FILE, 'architecture.json']);
const KERAS_PARTS = ['config.json', 'metadata.json', 'model.weights.h5'];
const SAVED_MODEL_FILE = 'saved_model.pb';
const OF_SAVED_MODEL =
  /^(saved_model\.pb|fingerprint\.pb|keras_metadata\.pb|(variables|assets|assets\.extra)\/.+)$/;
/** The list of files travels inside an event; a SavedModel has some ten. */
const SAVED_MODEL_FILES_MAX = 190;

const ZIP = Buffer.from('PK\x03\x04', 'latin1');
const EMPTY_ZIP = Buffer.from('PK\x05\x06', 'latin1');
const GZIP = Buffer.from([0x1f, 0x8b]);
const HDF5 = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

function unknownFormat(message: string): AppError {
  return new AppError('unknown_format', message);
}

async function head(file: SpooledFile): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const piece of file.stream(0, Math.min(8, file.sizeBytes))) parts.push(piece as Buffer);
  return Buffer.concat(parts);
}

const startsWith = (bytes: Buffer, magic: Buffer): boolean => bytes.subarray(0, magic.length).equals(magic);

/** Without the one folder that everything lies in, if there is one. */
function withoutRoot(files: UploadFiles): UploadFiles {
  const [first = ''] = files.keys();
  const root = first.slice(0, first.indexOf('/') + 1);
  if (root === '' || [...files.keys()].some((path) => !path.startsWith(root))) return files;
  return new Map([...files].map(([path, file]) => [path.slice(root.length), file]));
}

async function readTfjs(files: UploadFiles): Promise<UploadedModel> {
  const json = files.get(MODEL_JSON) as SpooledFile;
  const { jsonBytesMax } = defaultTfjsLimits;
  if (json.sizeBytes > jsonBytesMax)
    throw new AppError(
      'model_too_large',
      `model.json has ${json.sizeBytes} bytes; at most ${jsonBytesMax} are read.`,
    );
  const model = readTfjsModel(await json.bytes());
  const sizes = new Map([...files].map(([path, { sizeBytes }]) => [path, sizeBytes]));
  sizes.delete(MODEL_JSON);
  assertShards(model.weights, sizes);
  return { kind: 'tfjs', model, files };
}

function readSavedModel(files: UploadFiles): UploadedModel {
  const foreign = [...files.keys()].find((path) => !OF_SAVED_MODEL.test(path));
  if (foreign !== undefined)
    throw unknownFormat(`${JSON.stringify(foreign)} is no part of a SavedModel; send its folder alone.`);
  if (files.size > SAVED_MODEL_FILES_MAX)
    throw new AppError(
      'archive_too_large',
      `The SavedModel has ${files.size} files; at most ${SAVED_MODEL_FILES_MAX} are taken.`,
    );
  return { kind: 'saved_model', files };
}

function readWeights(files: UploadFiles): UploadedModel {
  const foreign = [...files.keys()].find((path) => !OF_WEIGHTS.has(path));
  if (foreign !== undefined)
    throw unknownFormat(
      `${JSON.stringify(foreign)} does not belong to weights; send ${[...OF_WEIGHTS].join(', ')} alone.`,
    );
  return { kind: 'weights', files };
}

async function classify(files: UploadFiles): Promise<UploadedModel> {
  const own = withoutRoot(files);
  if (own.has(MODEL_JSON)) return readTfjs(own);
  if (own.has(SAVED_MODEL_FILE)) return readSavedModel(own);
  if (own.has(WEIGHTS_FILE)) return readWeights(own);
  throw unknownFormat(
    'The upload has no saved_model.pb, model.json or model.safetensors; send a SavedModel, TF.js model or weights, packed or file by file, a .keras or an .onnx file.',
  );
}

async function unpack(read: typeof readZip, file: SpooledFile, area: SpoolArea): Promise<UploadFiles> {
  const sink = createArchiveSink(area, file.sizeBytes);
  await read(file, sink);
  return sink.files();
}

async function readSingle(part: UploadedPart, framework: string, area: SpoolArea): Promise<UploadedModel> {
  const { name, file } = part;
  const magic = await head(file);
  if (startsWith(magic, ZIP) || startsWith(magic, EMPTY_ZIP)) {
    const files = await unpack(readZip, file, area);
    if (KERAS_PARTS.every((path) => files.has(path)))
      return { kind: 'keras', files: new Map([[KERAS_FILE, file]]) };
    return classify(files);
  }
  if (startsWith(magic, GZIP)) return classify(await unpack(readTarGz, file, area));
  if (startsWith(magic, HDF5))
    throw unknownFormat('HDF5 models of Keras are not taken; save the model as .keras or as SavedModel.');
  if (name.endsWith('.safetensors')) return readWeights(new Map([[WEIGHTS_FILE, file]]));
  if (framework === 'onnx' && name !== MODEL_JSON) return { kind: 'onnx', file };
  return classify(new Map([[name, file]]));
}

/**
 * Finds out what was uploaded and checks it, without running any of it.
 * @throws AppError `unknown_format`, `invalid_archive`, `archive_too_large`, `invalid_artifact_path`, `weights_mismatch`,
 * and those of a model.json
 */
export async function readUploadedModel(
  parts: readonly UploadedPart[],
  framework: string,
  area: SpoolArea,
): Promise<UploadedModel> {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return readSingle(only, framework, area);
  const files = new Map<string, SpooledFile>();
  for (const { name, file } of parts) {
    assertArtifactPath(name);
    if (files.has(name))
      throw new AppError('invalid_artifact_path', `Two parts are called ${JSON.stringify(name)}.`);
    files.set(name, file);
  }
  return classify(files);
}

/** What decides whether two uploads are the same: what was sent, however it was packed, and what is made of it. */
export function contentDigest(backend: 'onnx' | 'tensorflow', files: UploadFiles): string {
  const entries = [...files].map(([path, { sha256 }]) => ({ path, sha256 }));
  return sha256Hex(canonicalJson({ backend, files: entries.sort((a, b) => (a.path < b.path ? -1 : 1)) }));
}
