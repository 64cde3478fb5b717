import type { MetricsService, Range } from '../metrics/metrics.service.ts';
import { instant } from '../time-range.ts';
import type { ClassificationQuality, ConfusionCell, ReliabilityBin } from './classification.ts';
import { classificationQuality, expectedCalibrationError } from './classification.ts';
import type { AccuracyEstimate } from './estimate.ts';
import { estimateAccuracy } from './estimate.ts';
import type {
  ClassAuc,
  FeedbackCounts,
  QualityFilter,
  QualityRepository,
  QualitySums,
  RegressionSums,
} from './quality.repository.ts';

/** Classes and cells of the confusion matrix that an answer lists, the most frequent first. */
const CLASSES_SHOWN_MAX = 200;
const CELLS_SHOWN_MAX = 1_000;

export type QualityQuestion = Range & {
  tenant: string;
  modelId: string;
  version?: string | undefined;
  stage?: string | undefined;
};

export type ClassificationAnswer = ClassificationQuality & {
  /** Means over the predictions whose classes are known by the place of their scores. */
  logLoss: number | null;
  brier: number | null;
  /** Predictions behind the two. */
  scored: number;
  calibrationError: number | null;
  /** One against the rest, the mean over the classes that have it. */
  auc: number | null;
  confusion: ConfusionCell[];
  reliability: ReliabilityBin[];
  aucByClass: ClassAuc[];
};

export type QualityAnswer = {
  feedback: FeedbackCounts;
  /** Null without comparable feedback, and where labels differ too often to be classes. */
  classification: ClassificationAnswer | null;
  regression: RegressionSums | null;
  /** The accuracy that confidences lead to expect of all predictions of the range; null where too few truths are known. */
  estimate: AccuracyEstimate | null;
};

/** Answers how good the predictions of a range were, as far as feedback tells, and what to expect of the rest. */
export type QualityService = { answer(question: QualityQuestion): Promise<QualityAnswer> };

function classificationOf(sums: QualitySums): ClassificationAnswer | null {
  const quality = sums.isCut ? null : classificationQuality(sums.cells);
  if (quality === null) return null;
  const { loss, reliability, auc } = sums;
  return {
    ...quality,
    classes: quality.classes.slice(0, CLASSES_SHOWN_MAX),
    logLoss: loss.logLoss,
    brier: loss.brier,
    scored: loss.count,
    calibrationError: expectedCalibrationError(reliability),
    auc: auc.length === 0 ? null : auc.reduce((sum, one) => sum + one.auc, 0) / auc.length,
    confusion: sums.cells.slice(0, CELLS_SHOWN_MAX),
    reliability,
    aucByClass: auc,
  };
}

export function createQualityService(
  repository: QualityRepository,
  metrics: Pick<MetricsService, 'confidences'>,
): QualityService {
  return {
    async answer(question) {
      const { tenant, modelId, version, stage, startTime, endTime } = question;
      const filter: QualityFilter = {
        tenant,
        modelId,
        version,
        stage,
        from: instant(startTime ?? Number.NEGATIVE_INFINITY),
        to: instant(endTime === undefined ? Number.POSITIVE_INFINITY : endTime + 1),
      };
      const sums = await repository.sums(filter);
      // what a confidence means is learnt from all truths that are known, of earlier predictions too
      const labelled = await repository.labelledBins({ ...filter, from: '-infinity' });
      const { bins } = await metrics.confidences({ tenant, modelId, version, stage }, { startTime, endTime });
      return {
        feedback: sums.counts,
        classification: classificationOf(sums),
        regression: sums.regression,
        estimate: estimateAccuracy(bins, labelled),
      };
    },
  };
}
