import { AppError } from '@millrace/contracts';
import type { JsonObject } from './json.ts';
import { asList, asObject, asText, invalidModel, isObject, quote } from './json.ts';
import type { TfjsLimits } from './limits.ts';

/** Weight files that belong together: their bytes, one after the other, are the group's weights. */
export type WeightGroup = {
  /** Names of the files, each beside model.json. */
  readonly files: readonly string[];
  /** Bytes of all of them; a lower bound when a weight is of strings, whose length only the bytes tell. */
  readonly sizeBytes: number;
  readonly isExact: boolean;
};

const BYTES: Readonly<Record<string, number>> = { float32: 4, int32: 4, bool: 1, complex64: 8 };
const QUANTISED_BYTES: Readonly<Record<string, number>> = { uint8: 1, uint16: 2, float16: 2 };
/** A file beside model.json: nothing that a loader could take for a folder, a drive or an address. */
const SHARD_NAME = /^(?!\.{1,2}$)[^/\\:%?#\p{Cc}]{1,255}$/u;

type WeightSize = { stored: number; decoded: number; isExact: boolean };

function elements(weight: JsonObject, name: string): number {
  const shape = asList(weight.shape, `The shape of weight ${quote(name)}`);
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || (size as number) < 0)
      throw invalidModel(`The shape of weight ${quote(name)} has a size that is no whole number.`);
    count *= size as number;
  }
  if (Number.isSafeInteger(count)) return count;
  throw invalidModel(`Weight ${quote(name)} has more elements than can be counted.`);
}

function sizeOf(weight: JsonObject, name: string): WeightSize {
  const dtype = asText(weight.dtype, `The dtype of weight ${quote(name)}`);
  const count = elements(weight, name);
  if (dtype === 'string') return { stored: count * 4, decoded: count * 4, isExact: false };
  const bytes = Object.hasOwn(BYTES, dtype) ? BYTES[dtype] : undefined;
  if (bytes === undefined) throw invalidModel(`Weight ${quote(name)} has the unknown dtype ${quote(dtype)}.`);
  if (weight.quantization === undefined)
    return { stored: count * bytes, decoded: count * bytes, isExact: true };
  const { dtype: stored, scale, min } = asObject(weight.quantization, `The quantization of ${quote(name)}`);
  const size =
    typeof stored === 'string' && Object.hasOwn(QUANTISED_BYTES, stored)
      ? QUANTISED_BYTES[stored]
      : undefined;
  const isScaled = Number.isFinite(scale) && Number.isFinite(min);
  if (size === undefined || (stored !== 'float16' && !isScaled))
    throw invalidModel(`The quantization of weight ${quote(name)} is not one that can be undone.`);
  return { stored: count * size, decoded: count * 4, isExact: true };
}

function fileName(path: unknown): string {
  if (typeof path === 'string' && SHARD_NAME.test(path)) return path;
  throw new AppError(
    'external_data_path',
    `The weights manifest names ${quote(path)}; weight files lie beside model.json and have plain names.`,
  );
}

/**
 * The weight files that a model.json asks for, in order.
 * @throws AppError `invalid_model`, `external_data_path`, `model_too_complex`, `model_too_large`
 */
export function readWeightGroups(manifest: unknown, limits: TfjsLimits): WeightGroup[] {
  if (manifest === undefined) throw invalidModel('model.json has no weightsManifest.');
  const names = new Set<string>();
  const files = new Set<string>();
  let decoded = 0;
  const groups = asList(manifest, 'weightsManifest').map((entry): WeightGroup => {
    const group = asObject(entry, 'A group of weightsManifest');
    const paths = asList(group.paths, 'paths of weightsManifest').map(fileName);
    for (const path of paths) {
      if (files.has(path)) throw invalidModel(`The weights manifest names ${quote(path)} twice.`);
      files.add(path);
    }
    let sizeBytes = 0;
    let isExact = true;
    for (const one of asList(group.weights, 'weights of weightsManifest')) {
      if (!isObject(one)) throw invalidModel('A weight is not an object.');
      const name = asText(one.name, 'The name of a weight');
      if (names.has(name)) throw invalidModel(`Weight ${quote(name)} comes twice.`);
      names.add(name);
      const size = sizeOf(one, name);
      sizeBytes += size.stored;
      decoded += size.decoded;
      isExact &&= size.isExact;
      if (decoded > limits.decodedBytesMax)
        throw new AppError(
          'model_too_large',
          `The weights take more than ${limits.decodedBytesMax} bytes once read.`,
        );
    }
    return { files: paths, sizeBytes, isExact };
  });
  assertCount(files.size, limits.shardsMax, 'weight files');
  assertCount(names.size, limits.weightsMax, 'weights');
  return groups;
}

/** @throws AppError `model_too_complex` */
export function assertCount(count: number, max: number, what: string): void {
  if (count <= max) return;
  throw new AppError('model_too_complex', `The model has ${count} ${what}; at most ${max} are taken.`);
}

/**
 * Checks that exactly the weight files are there that the model asks for, with the bytes that its weights take.
 * @throws AppError `weights_mismatch`
 */
export function assertShards(groups: readonly WeightGroup[], sizes: ReadonlyMap<string, number>): void {
  const wanted = new Set(groups.flatMap(({ files }) => files));
  const missing = [...wanted].filter((name) => !sizes.has(name));
  if (missing.length > 0) throw mismatch(`${shown(missing)} of the weights manifest did not come`);
  const extra = [...sizes.keys()].filter((name) => !wanted.has(name));
  if (extra.length > 0) throw mismatch(`${shown(extra)} is not in the weights manifest`);
  for (const { files, sizeBytes, isExact } of groups) {
    const actual = files.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
    if (isExact ? actual === sizeBytes : actual >= sizeBytes) continue;
    throw mismatch(`${shown(files)} has ${actual} bytes where the weights take ${sizeBytes}`);
  }
}

function shown(names: readonly string[]): string {
  const first = names.slice(0, 3).map(quote).join(', ');
  return names.length > 3 ? `${first} and ${names.length - 3} more` : first;
}

function mismatch(what: string): AppError {
  return new AppError('weights_mismatch', `${what}; send model.json with exactly the weight files it names.`);
}
