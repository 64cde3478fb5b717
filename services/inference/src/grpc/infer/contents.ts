import { AppError } from '@millrace/contracts';
import type { DType, NumericData } from '../../tensors/dtype.ts';
import { allocate, bytesPerElement, dtypeInfo, protocolName, viewBytes } from '../../tensors/dtype.ts';
import type { Tensor, TensorSpec } from '../../tensors/tensor.ts';
import { elementCount, showShape } from '../../tensors/tensor.ts';
import { assertServableText } from '../../tensors/tensor-from-json.ts';
import { WIRE, WireReader } from '../wire-reader.ts';
import type { WireWriter } from '../wire-writer.ts';

type Field = { readonly number: number; readonly name: string };

const FIELDS = [
  'bool_contents',
  'int_contents',
  'int64_contents',
  'uint_contents',
  'uint64_contents',
  'fp32_contents',
  'fp64_contents',
  'bytes_contents',
].map((name, i) => ({ number: i + 1, name }));
const [BOOL, INT, INT64, UINT, UINT64, FP32, FP64, BYTES] = FIELDS as [
  Field,
  Field,
  Field,
  Field,
  Field,
  Field,
  Field,
  Field,
];

/** The field of InferTensorContents that holds a type; float16 has none. */
const FIELD_OF: Readonly<Partial<Record<DType, Field>>> = {
  bool: BOOL,
  int8: INT,
  int16: INT,
  int32: INT,
  int64: INT64,
  uint8: UINT,
  uint16: UINT,
  uint32: UINT,
  uint64: UINT64,
  float32: FP32,
  float64: FP64,
  string: BYTES,
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Whether a type can go as typed contents; one that cannot always goes as raw bytes. */
export function hasContents(dtype: DType): boolean {
  return FIELD_OF[dtype] !== undefined;
}

/** The packed pieces of the field of a type, as start and end in turn; a value that is not packed is a piece too. */
function piecesOf(reader: WireReader, spec: TensorSpec, field: Field): number[] {
  const pieces: number[] = [];
  for (let number = reader.field(); number !== 0; number = reader.field()) {
    const other = FIELDS[number - 1];
    if (number === field.number) {
      if (reader.wireType === WIRE.bytes) {
        const end = reader.span();
        pieces.push(reader.at, end);
        reader.at = end;
      } else {
        const start = reader.at;
        reader.skip();
        pieces.push(start, reader.at);
      }
    } else if (other === undefined) reader.skip();
    else {
      const start = reader.at;
      reader.skip();
      // an empty packed field is one byte, its length 0
      if (reader.at - start > 1 || reader.wireType !== WIRE.bytes) {
        throw new AppError(
          'invalid_type',
          `Input "${spec.name}" takes ${protocolName(spec.dtype)}, whose values go in ${field.name}, not ${other.name}.`,
        );
      }
    }
  }
  return pieces;
}

function wrongCount(spec: TensorSpec, shape: readonly number[], count: number): AppError {
  return new AppError(
    'invalid_shape',
    `Input "${spec.name}" has ${count} values; its shape ${showShape(shape)} takes ${elementCount(shape)}.`,
  );
}

function readStrings(reader: WireReader, spec: TensorSpec, pieces: readonly number[]): string[] {
  const strings: string[] = [];
  for (let i = 0; i < pieces.length; i += 2) {
    let text: string;
    try {
      text = utf8.decode(reader.bytes.subarray(pieces[i], pieces[i + 1]));
    } catch {
      throw new AppError('invalid_type', `String ${i / 2} of input "${spec.name}" is not valid UTF-8.`);
    }
    assertServableText(spec.name, i / 2, text);
    strings.push(text);
  }
  return strings;
}

/** Floats are on the wire as they are in memory. */
function readFloats(
  reader: WireReader,
  spec: TensorSpec,
  shape: number[],
  pieces: readonly number[],
): NumericData {
  const dtype = spec.dtype as 'float32' | 'float64';
  const count = elementCount(shape);
  const width = bytesPerElement(dtype);
  const [start = 0, end = 0] = pieces;
  const bytes =
    pieces.length <= 2
      ? reader.bytes.subarray(start, end)
      : Buffer.concat(
          Array.from({ length: pieces.length / 2 }, (_, i) =>
            reader.bytes.subarray(pieces[2 * i], pieces[2 * i + 1]),
          ),
        );
  if (bytes.length !== count * width) throw wrongCount(spec, shape, Math.floor(bytes.length / width));
  return viewBytes(dtype, bytes, count);
}

/** Numbers in a piece: as many as bytes without the bit that says that another follows. */
function countVarints(bytes: Buffer, pieces: readonly number[]): number {
  let count = 0;
  for (let i = 0; i < pieces.length; i += 2) {
    for (let at = pieces[i] as number; at < (pieces[i + 1] as number); at += 1)
      if ((bytes[at] as number) < 0x80) count += 1;
  }
  return count;
}

function readWhole(
  reader: WireReader,
  spec: TensorSpec,
  shape: number[],
  pieces: readonly number[],
): NumericData {
  const dtype = spec.dtype as Exclude<DType, 'string'>;
  const count = countVarints(reader.bytes, pieces);
  if (count !== elementCount(shape)) throw wrongCount(spec, shape, count);
  const data = allocate(dtype, count);
  const isWide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  const halves = isWide ? new Uint32Array(data.buffer) : undefined;
  const [low, high] = dtypeInfo(dtype).range ?? [0, 1];
  let index = 0;
  for (let i = 0; i < pieces.length; i += 2) {
    reader.at = pieces[i] as number;
    reader.end = pieces[i + 1] as number;
    while (reader.at < reader.end) {
      reader.varint();
      if (halves !== undefined) {
        halves[2 * index] = reader.low;
        halves[2 * index + 1] = reader.high;
      } else {
        const value = low < 0 ? reader.low | 0 : reader.low;
        if (value < low || value > high) {
          throw new AppError(
            'invalid_type',
            `Input "${spec.name}" takes ${protocolName(dtype)}; value ${index} is ${value}.`,
          );
        }
        data[index] = value;
      }
      index += 1;
    }
  }
  return data;
}

/**
 * The values of an input out of its InferTensorContents, for a shape that was checked. Throws `invalid_type` or
 * `invalid_shape`.
 */
export function readContents(
  message: Buffer,
  place: { at: number; end: number },
  spec: TensorSpec,
  shape: number[],
): Tensor {
  const { name, dtype } = spec;
  const field = FIELD_OF[dtype];
  if (field === undefined) {
    throw new AppError(
      'invalid_type',
      `Input "${name}" takes ${protocolName(dtype)}, which has no typed contents; send raw_input_contents.`,
    );
  }
  const reader = new WireReader(message, place.at, place.end);
  const pieces = piecesOf(reader, spec, field);
  if (dtype === 'string') {
    const data = readStrings(reader, spec, pieces);
    if (data.length !== elementCount(shape)) throw wrongCount(spec, shape, data.length);
    return { name, dtype, shape, data };
  }
  const isFloat = dtype === 'float32' || dtype === 'float64';
  const data = (isFloat ? readFloats : readWhole)(reader, spec, shape, pieces);
  return { name, dtype, shape, data } as Tensor;
}

/** Writes the values of an output as InferTensorContents. */
export function writeContents(writer: WireWriter, tensor: Tensor): void {
  const field = FIELD_OF[tensor.dtype] as Field;
  if (tensor.dtype === 'string') {
    for (const text of tensor.data) writer.text(field.number, text);
    return;
  }
  const { data } = tensor;
  if (data instanceof Float32Array || data instanceof Float64Array) {
    writer.blob(field.number, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return;
  }
  writer.packed(field.number, (inner) => {
    for (const value of data) inner.whole(value);
  });
}
