/** Where a value begins in sorted values, and where a larger one does. */
function rangeOf(sorted: Float64Array, value: number): [from: number, to: number] {
  const first = (isPast: (at: number) => boolean): number => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isPast(sorted[middle] as number)) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  return [first((at) => at >= value), first((at) => at > value)];
}

/** The distinct values, or undefined when there are more than `most`. */
function fewValues(sorted: Float64Array, most: number): number[] | undefined {
  const values: number[] = [];
  for (let at = 0; at < sorted.length; ) {
    if (values.length === most) return undefined;
    values.push(sorted[at] as number);
    at = rangeOf(sorted, sorted[at] as number)[1];
  }
  return values;
}

/**
 * Edges that cut sorted values into about `bins` bins of equal counts. Few distinct values get a bin each; a value that
 * fills a bin by itself (as zeros often do) has one to itself, so that it cannot hide what happens around it. Every edge
 * is one of the values, and no bin is empty.
 */
export function quantileEdges(sorted: Float64Array, bins: number): number[] {
  const few = fewValues(sorted, bins);
  if (few !== undefined) return few.slice(1);
  const share = sorted.length / bins;
  const edges: { value: number; from: number; isFixed: boolean }[] = [];
  const lastFrom = (): number => edges.at(-1)?.from ?? 0;
  let past = 0;
  for (let i = 0; i < bins; i += 1) {
    const value = sorted[Math.floor(i * share)] as number;
    const [from, to] = rangeOf(sorted, value);
    if (from < past) continue;
    const isAlone = to - from >= share;
    if (isAlone) {
      // what is left of the bin before goes to its neighbour on the left
      const before = edges.at(-1);
      if (before !== undefined && !before.isFixed && from - before.from < share / 2) edges.pop();
      if (from > lastFrom()) edges.push({ value, from, isFixed: true });
      if (to < sorted.length) edges.push({ value: sorted[to] as number, from: to, isFixed: true });
      past = to;
    } else if (from - lastFrom() >= share / 2) edges.push({ value, from, isFixed: false });
  }
  return edges.map(({ value }) => value);
}
