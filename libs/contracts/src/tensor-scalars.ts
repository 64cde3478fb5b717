const POWERS_OF_TEN = Float64Array.from({ length: 12 }, (_, exponent) => Number(`1e${exponent}`));
/** A float32 needs six to nine digits. */
const DIGITS_MIN = 6;
const DIGITS_MAX = 9;
/** Sizes whose digits are found with one multiplication; others take the way over text. */
const PLAIN_MIN = 1e-3;
const PLAIN_MAX = 1e6;

/** Decimals that leave six digits of a number of this size. */
function decimalsFor(size: number): number {
  if (size >= 1) {
    if (size < 10) return 5;
    if (size < 100) return 4;
    if (size < 1e3) return 3;
    if (size < 1e4) return 2;
    return size < 1e5 ? 1 : 0;
  }
  if (size >= 0.1) return 6;
  return size >= 0.01 ? 7 : 8;
}

/** The double with the fewest decimal digits that reads back as the same float32, as Python and NumPy print it. */
export function shortestSingle(value: number): number {
  const size = Math.abs(value);
  if (size >= PLAIN_MIN && size < PLAIN_MAX) {
    const first = decimalsFor(size);
    for (let decimals = first; decimals <= first + DIGITS_MAX - DIGITS_MIN; decimals += 1) {
      const power = POWERS_OF_TEN[decimals] as number;
      const rounded = Math.round(value * power) / power;
      if (Math.fround(rounded) === value) return rounded;
    }
  } else if (Number.isFinite(value)) {
    for (let digits = DIGITS_MIN; digits <= DIGITS_MAX; digits += 1) {
      const rounded = Number(value.toPrecision(digits));
      if (Math.fround(rounded) === value) return rounded;
    }
  }
  return value;
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER) + 1n;

/** A whole number of 64 bits for JSON: as a number up to 2^53, else as text, which nobody rounds. */
export function wholeScalar(value: bigint): number | string {
  return value >= -SAFE && value <= SAFE ? Number(value) : value.toString();
}

/** The number that the bits of a half stand for (IEEE 754 binary16); null for NaN and Infinity. */
export function halfScalar(bits: number): number | null {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return null;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
