import { AppError } from '@millrace/contracts/errors';
import type { DataType } from './data-type.ts';
import { dataTypeOf, STRING } from './data-type.ts';
import type { SparseTensorProto, TensorProto } from './generated/onnx_pb.ts';
import type { RawData } from './raw-data.ts';
import { rawRangeOf } from './raw-data.ts';
import { piecesOf } from './source.ts';

/** TensorProto.DataLocation EXTERNAL. */
const EXTERNAL = 1;
/** Largest dense form of a sparse tensor, in elements: the runtime expands it when it loads the model. */
const SPARSE_ELEMENTS_MAX = 64 * 1024 * 1024;

const STORES = ['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data', 'stringData'] as const;

/** The error of a model that contradicts itself. */
export function invalidModel(message: string): AppError {
  return new AppError('invalid_model', message);
}

/**
 * Checks that a tensor lies in the file and has exactly the data that its type and shape call for; returns the bytes
 * of its data. Throws `external_data_path` or `invalid_model`, naming the tensor.
 */
export function checkTensor(tensor: TensorProto, raw: RawData): number {
  const label = tensor.name === '' ? 'A tensor without a name' : `The tensor ${quote(tensor.name)}`;
  if (tensor.dataLocation === EXTERNAL || tensor.externalData.length > 0) {
    throw new AppError(
      'external_data_path',
      `${label} keeps its data in another file; save the model as one file.`,
    );
  }
  if (tensor.segment !== undefined) throw invalidModel(`${label} is only a segment of a tensor.`);
  const dataType = dataTypeOf(tensor.dataType);
  if (dataType === undefined) throw invalidModel(`${label} has the unknown element type ${tensor.dataType}.`);
  const elements = elementCount(tensor.dims, label);
  const filled = STORES.filter((store) => tensor[store].length > 0);
  const range = rawRangeOf(tensor, raw);
  const hasRaw = range !== undefined;
  if (filled.length + (hasRaw ? 1 : 0) > 1) throw invalidModel(`${label} has its data more than once.`);
  if (hasRaw && tensor.dataType === STRING) throw invalidModel(`${label} is of strings and has raw data.`);
  const expected = byteCount(dataType, elements);
  if (hasRaw || filled.length === 0) {
    const actual = hasRaw ? range.end - range.start : 0;
    const isShort = tensor.dataType === STRING ? elements > 0 : actual !== expected;
    if (isShort)
      throw invalidModel(`${label} has ${actual} bytes of data; its shape and type call for ${expected}.`);
    return actual;
  }
  return checkTyped(tensor, dataType, { elements, label, store: filled[0] ?? 'floatData' });
}

/** Checks both parts of a sparse tensor as checkTensor does, and bounds its dense form. */
export function checkSparse(sparse: SparseTensorProto, raw: RawData): number {
  const label = `The sparse tensor ${quote(sparse.values?.name ?? '')}`;
  const elements = elementCount(sparse.dims, label);
  if (sparse.values === undefined || sparse.indices === undefined) {
    throw invalidModel(`${label} lacks its values or indices.`);
  }
  if (elements > SPARSE_ELEMENTS_MAX) {
    throw invalidModel(
      `${label} has ${elements} elements when dense; at most ${SPARSE_ELEMENTS_MAX} are accepted.`,
    );
  }
  return checkTensor(sparse.values, raw) + checkTensor(sparse.indices, raw);
}

/** The data of a checked tensor in its raw form, piece by piece: little-endian, as `raw_data` holds it. */
export function* tensorPieces(tensor: TensorProto, raw: RawData): Generator<Uint8Array> {
  const range = rawRangeOf(tensor, raw);
  if (range === undefined) yield typedBytes(tensor);
  else yield* piecesOf(raw.source, range);
}

/** The same as a whole. */
export function tensorBytes(tensor: TensorProto, raw: RawData): Uint8Array {
  const range = rawRangeOf(tensor, raw);
  return range === undefined ? typedBytes(tensor) : raw.source.read(range.start, range.end);
}

function typedBytes(tensor: TensorProto): Uint8Array {
  if (tensor.dataType === STRING) return stringBytes(tensor.stringData);
  const dataType = dataTypeOf(tensor.dataType);
  if (dataType === undefined) return new Uint8Array(0);
  const values = tensor[dataType.store] as readonly (number | bigint)[];
  const width = Math.max(1, dataType.bits / 8 / dataType.valuesPerElement);
  const view = new DataView(new ArrayBuffer(values.length * width));
  for (const [i, value] of values.entries())
    writeValue(view, i * width, { value, width, store: dataType.store });
  return new Uint8Array(view.buffer);
}

/** A name as messages show it: quoted, escaped and cut to 100 characters. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}

function checkTyped(
  tensor: TensorProto,
  dataType: DataType,
  at: { elements: number; label: string; store: (typeof STORES)[number] },
): number {
  if (at.store !== dataType.store)
    throw invalidModel(`${at.label} has data of another type than ${dataType.name}.`);
  const values = tensor[at.store];
  const isPackedType = dataType.bits > 0 && dataType.bits < 8;
  const expected = isPackedType ? byteCount(dataType, at.elements) : at.elements * dataType.valuesPerElement;
  if (values.length !== expected) {
    throw invalidModel(`${at.label} has ${values.length} values; its shape calls for ${expected}.`);
  }
  if (tensor.dataType !== STRING) return byteCount(dataType, at.elements);
  return tensor.stringData.reduce((sum, text) => sum + text.byteLength, 0);
}

function elementCount(dims: readonly bigint[], label: string): number {
  let count = 1n;
  for (const dim of dims) {
    if (dim < 0n) throw invalidModel(`${label} has the negative dimension ${dim}.`);
    count *= dim;
    if (count > BigInt(Number.MAX_SAFE_INTEGER))
      throw invalidModel(`${label} has more elements than can be counted.`);
  }
  return Number(count);
}

function byteCount(dataType: DataType, elements: number): number {
  return Math.ceil((elements * dataType.bits) / 8);
}

function stringBytes(texts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    texts.flatMap((text) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.byteLength));
      return [length, text];
    }),
  );
}

function writeValue(
  view: DataView,
  offset: number,
  of: { value: number | bigint; width: number; store: DataType['store'] },
): void {
  if (of.store === 'floatData') view.setFloat32(offset, Number(of.value), true);
  else if (of.store === 'doubleData') view.setFloat64(offset, Number(of.value), true);
  else if (of.width === 8) view.setBigUint64(offset, BigInt.asUintN(64, BigInt(of.value)), true);
  else if (of.width === 4) view.setUint32(offset, Number(of.value) >>> 0, true);
  else if (of.width === 2) view.setUint16(offset, Number(of.value) & 0xffff, true);
  else view.setUint8(offset, Number(of.value) & 0xff);
}
