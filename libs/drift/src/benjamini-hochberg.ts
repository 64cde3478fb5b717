/**
 * P-values adjusted so that of what is called changed at the level alpha, at most a share of alpha has not (Benjamini
 * and Hochberg 1995); in the order they came.
 */
export function adjustPValues(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => (pValues[b] as number) - (pValues[a] as number));
  const adjusted = new Array<number>(pValues.length).fill(1);
  let smallest = 1;
  for (const [i, at] of order.entries()) {
    const rank = pValues.length - i;
    smallest = Math.min(smallest, ((pValues[at] as number) * pValues.length) / rank);
    adjusted[at] = smallest;
  }
  return adjusted;
}
