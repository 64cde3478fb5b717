/** How often a class was predicted where another (or the same) was true. */
export type ConfusionCell = { readonly truth: string; readonly predicted: string; readonly count: number };

/** How a class fares; a ratio without anything to divide by is null, and counts as 0 in the averages. */
export type ClassQuality = {
  readonly label: string;
  /** Predictions whose truth it is. */
  readonly support: number;
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
};

export type ClassificationQuality = {
  readonly count: number;
  readonly accuracy: number;
  /** Averages over the classes that occur as truth or as prediction, each with the same weight. */
  readonly macroPrecision: number;
  readonly macroRecall: number;
  readonly macroF1: number;
  /** The most frequent class first. */
  readonly classes: ClassQuality[];
};

type Counts = { support: number; predicted: number; right: number };

const ratio = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);

function countsByClass(cells: readonly ConfusionCell[]): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  const of = (label: string): Counts => {
    const known = counts.get(label) ?? { support: 0, predicted: 0, right: 0 };
    counts.set(label, known);
    return known;
  };
  for (const { truth, predicted, count } of cells) {
    of(truth).support += count;
    of(predicted).predicted += count;
    if (truth === predicted) of(truth).right += count;
  }
  return counts;
}

/**
 * Accuracy, precision, recall and F1 of a confusion matrix; null for an empty one. Precision is right of predicted,
 * recall right of true, F1 = 2 right / (true + predicted).
 */
export function classificationQuality(cells: readonly ConfusionCell[]): ClassificationQuality | null {
  const count = cells.reduce((sum, cell) => sum + cell.count, 0);
  if (count === 0) return null;
  const classes = [...countsByClass(cells)].map(([label, { support, predicted, right }]): ClassQuality => {
    const [precision, recall] = [ratio(right, predicted), ratio(right, support)];
    return { label, support, precision, recall, f1: ratio(2 * right, support + predicted) };
  });
  classes.sort((a, b) => b.support - a.support || a.label.localeCompare(b.label));
  const mean = (name: 'precision' | 'recall' | 'f1'): number =>
    classes.reduce((sum, one) => sum + (one[name] ?? 0), 0) / classes.length;
  const right = cells.reduce((sum, cell) => sum + (cell.truth === cell.predicted ? cell.count : 0), 0);
  return {
    count,
    accuracy: right / count,
    macroPrecision: mean('precision'),
    macroRecall: mean('recall'),
    macroF1: mean('f1'),
    classes,
  };
}

/** Predictions whose probability lies in one part of [0, 1]: how many, how sure, and how many of them right. */
export type ReliabilityBin = {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly avgProbability: number;
  readonly accuracy: number;
};

/**
 * Expected calibration error: the mean distance of probability and share of right ones over the bins, weighted by their
 * counts (Guo et al.: On Calibration of Modern Neural Networks, ICML 2017). Null without predictions.
 */
export function expectedCalibrationError(bins: readonly ReliabilityBin[]): number | null {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return null;
  const distances = bins.map((bin) => bin.count * Math.abs(bin.avgProbability - bin.accuracy));
  return distances.reduce((sum, distance) => sum + distance, 0) / total;
}
