// taken once: in a vm context, such as jest's, each look-up of a global is slow
const { abs, exp, log } = Math;

const HALF_LOG_TWO_PI = 0.5 * log(2 * Math.PI);
/** From here on four terms of Stirling's series are exact to 1e-15. */
const STIRLING_FROM = 15;
const TERMS_MAX = 10_000;
const PRECISION = 1e-16;
const TINY = 1e-300;
const BISECTIONS = 200;

/** Natural logarithm of the gamma function of x > 0 (Stirling's series, Abramowitz and Stegun 6.1.41). */
export function logGamma(x: number): number {
  let shifted = x;
  let product = 1;
  while (shifted < STIRLING_FROM) {
    product *= shifted;
    shifted += 1;
  }
  const z = 1 / (shifted * shifted);
  const series = (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z / 1188)))) / shifted;
  return (shifted - 0.5) * log(shifted) - shifted + HALF_LOG_TWO_PI + series - log(product);
}

/** Lower regularised incomplete gamma function by its series, for x < a + 1 (Abramowitz and Stegun 6.5.29). */
function lowerBySeries(a: number, x: number): number {
  let term = 1 / a;
  let sum = term;
  for (let i = 1; i < TERMS_MAX && term > sum * PRECISION; i += 1) {
    term *= x / (a + i);
    sum += term;
  }
  return sum * exp(a * log(x) - x - logGamma(a));
}

/** Upper one by its continued fraction, for x >= a + 1 (Abramowitz and Stegun 6.5.31, evaluated as Lentz does). */
function upperByFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let c = 1 / TINY;
  let d = 1 / b;
  let fraction = d;
  for (let i = 1; i < TERMS_MAX; i += 1) {
    const numerator = i * (a - i);
    b += 2;
    d = 1 / (numerator * d + b || TINY);
    c = b + numerator / c || TINY;
    fraction *= c * d;
    if (abs(c * d - 1) < PRECISION * 4) break;
  }
  return fraction * exp(a * log(x) - x - logGamma(a));
}

/** Probability that a chi-square variable with `degrees` degrees of freedom is over `value`. */
export function chiSquareSurvival(value: number, degrees: number): number {
  const [a, x] = [degrees / 2, value / 2];
  if (!(x > 0)) return 1;
  return x < a + 1 ? 1 - lowerBySeries(a, x) : upperByFraction(a, x);
}

/** The value that a chi-square variable passes with the probability `alpha`, in (0, 1). */
export function chiSquareCritical(alpha: number, degrees: number): number {
  let low = 0;
  let high = degrees + 1;
  while (chiSquareSurvival(high, degrees) > alpha) high *= 2;
  for (let i = 0; i < BISECTIONS; i += 1) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (chiSquareSurvival(middle, degrees) > alpha) low = middle;
    else high = middle;
  }
  return high;
}
