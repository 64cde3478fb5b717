import type { TensorSummary } from '@millrace/contracts';
import { halfScalar, shortestSingle, wholeScalar } from '@millrace/contracts';

type Value = number | string | boolean | null;

/** As `/predict` prints them: the fewest digits that read back as the same float32. */
const single = (value: number): Value => (Number.isFinite(value) ? shortestSingle(value) : null);

/** Size of an element (bytes) and how one is read from little-endian bytes. */
const READERS: Readonly<Record<string, [size: number, read: (bytes: Buffer, at: number) => Value]>> = {
  float32: [4, (bytes, at) => single(bytes.readFloatLE(at))],
  float64: [
    8,
    (bytes, at) => {
      const value = bytes.readDoubleLE(at);
      return Number.isFinite(value) ? value : null;
    },
  ],
  float16: [2, (bytes, at) => halfScalar(bytes.readUInt16LE(at))],
  int8: [1, (bytes, at) => bytes.readInt8(at)],
  int16: [2, (bytes, at) => bytes.readInt16LE(at)],
  int32: [4, (bytes, at) => bytes.readInt32LE(at)],
  int64: [8, (bytes, at) => wholeScalar(bytes.readBigInt64LE(at))],
  uint8: [1, (bytes, at) => bytes.readUInt8(at)],
  uint16: [2, (bytes, at) => bytes.readUInt16LE(at)],
  uint32: [4, (bytes, at) => bytes.readUInt32LE(at)],
  uint64: [8, (bytes, at) => wholeScalar(bytes.readBigUInt64LE(at))],
  bool: [1, (bytes, at) => bytes.readUInt8(at) === 1],
};

/** The values of a tensor in row-major order; undefined when they did not travel, or not in a type known here. */
export function readValues({ values, data, dtype }: TensorSummary): Value[] | undefined {
  if (values !== undefined) return values;
  const reader = Object.hasOwn(READERS, dtype) ? READERS[dtype] : undefined;
  if (data === undefined || reader === undefined) return undefined;
  const bytes = Buffer.from(data, 'base64');
  const [size, read] = reader;
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => read(bytes, i * size));
}
