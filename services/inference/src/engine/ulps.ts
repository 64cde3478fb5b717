import type { Tensor } from '../tensors/tensor.ts';
import { rawBytes } from '../tensors/tensor.ts';

type Bits = Int16Array | Int32Array | BigInt64Array;

/** The bits of floats as whole numbers, and the largest that are a finite number or infinity; undefined for other types. */
function bitsOf({ dtype, data }: Tensor): { bits: Bits; infinity: bigint } | undefined {
  if (dtype === 'string') return undefined;
  const { buffer, byteOffset, byteLength } = rawBytes(data);
  if (dtype === 'float16')
    return { bits: new Int16Array(buffer, byteOffset, byteLength / 2), infinity: 0x7c00n };
  if (dtype === 'float32')
    return { bits: new Int32Array(buffer, byteOffset, byteLength / 4), infinity: 0x7f80_0000n };
  if (dtype !== 'float64') return undefined;
  return { bits: new BigInt64Array(buffer, byteOffset, byteLength / 8), infinity: 0x7ff0_0000_0000_0000n };
}

/** Place of a float in the order of all of its type, by its bits; neighbours are one unit in the last place apart. */
function placeOf(bits: bigint, bytes: number): bigint {
  return bits < 0n ? -(2n ** BigInt(8 * bytes - 1)) - bits : bits;
}

/**
 * How far two tensors of one type and shape are apart at most, in units in the last place (Goldberg 1991). 0 only when they
 * are the same to the bit; Infinity for a NaN or infinity beside another value, and for other texts or whole numbers.
 */
export function ulpsApart(a: Tensor, b: Tensor): number {
  if (a.dtype === 'string' || b.dtype === 'string')
    return JSON.stringify(a.data) === JSON.stringify(b.data) ? 0 : Infinity;
  if (Buffer.compare(rawBytes(a.data), rawBytes(b.data)) === 0) return 0;
  const [one, other] = [bitsOf(a), bitsOf(b)];
  if (one === undefined || other === undefined || one.bits.length !== other.bits.length) return Infinity;
  const bytes = one.bits.BYTES_PER_ELEMENT;
  let furthest = 1n;
  for (let i = 0; i < one.bits.length; i += 1) {
    if (one.bits[i] === other.bits[i]) continue;
    const [x, y] = [one, other].map(({ bits }) => placeOf(BigInt(bits[i] as number), bytes)) as [
      bigint,
      bigint,
    ];
    const most = [x, y].map((place) => (place < 0n ? -place : place));
    if (most.some((place) => place >= one.infinity)) return Infinity;
    const apart = x > y ? x - y : y - x;
    if (apart > furthest) furthest = apart;
  }
  return Number(furthest);
}
