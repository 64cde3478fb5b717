import { setImmediate as turn } from 'node:timers/promises';
import { AppError, newId } from '@millrace/contracts';
import type {
  Check,
  DriftReference,
  FeatureColumn,
  FeatureJudgement,
  FeatureReference,
  Histogram,
  StatisticName,
} from '@millrace/drift';
import {
  buildReference,
  compareFeature,
  conclude,
  countValues,
  createNullDistributions,
  encodeReference,
  mergeHistograms,
  parseReference,
} from '@millrace/drift';
import { sha256Hex } from '@millrace/integrity';
import type {
  DriftRepository,
  PredictionWindow,
  ReferenceInfo,
  ReferenceSource,
  StoredReference,
} from './drift.repository.ts';
import { createFeatureTable, readFeatures } from './prediction-features.ts';

/** Predictions that a report or a reference is made of; of more, the newest. */
const PREDICTIONS_MAX = 50_000;
/** Values that a reference is gathered from (about 40 MB while it is made). */
const REFERENCE_VALUES_MAX = 5_000_000;
/** Reports and references that are made at once, and that wait for their turn. */
const RUNNING_MAX = 2;
const WAITING_MAX = 16;
const RETRY_AFTER_SECONDS = 5;

/** What a reference is made of. */
export type ReferenceOrigin =
  | { readonly columns: readonly FeatureColumn[] }
  | { readonly reference: unknown }
  | { readonly window: { readonly startTime: number; readonly endTime: number } };

export type NewReference = {
  readonly tenant: string;
  readonly principal: string;
  readonly model: string;
  readonly version: string;
  /** Needed only while no prediction of the version has come. */
  readonly modelVersionId?: string | undefined;
  readonly bins?: number | undefined;
  readonly origin: ReferenceOrigin;
};

/** What became of a feature, with both histograms. */
export type FeatureReport = Omit<FeatureJudgement, 'checks'> & {
  readonly kind: FeatureReference['kind'];
  /** Of a number. */
  readonly edges: readonly number[] | null;
  /** Of the others; the last count is that of all further ones. */
  readonly categories: readonly string[] | null;
  readonly reference: { readonly counts: readonly number[]; readonly nulls: number };
  readonly window: Histogram;
  readonly checks: readonly Check[];
};

export type DriftReport = {
  readonly status: 'no-reference' | 'too-few-rows' | 'stable' | 'drifted';
  readonly modelVersionId: string | null;
  readonly reference: ReferenceInfo | null;
  readonly startTime: number;
  readonly endTime: number;
  readonly alpha: number;
  readonly statistic: StatisticName;
  /** Predictions that were compared. */
  readonly predictions: number;
  /** Those of them in which no feature of the reference could be read. */
  readonly unread: number;
  /** Whether the window held more predictions, older than those that were compared. */
  readonly isTruncated: boolean;
  readonly features: readonly FeatureReport[];
};

/** How a window is compared; times are ms since 1970, ends inclusive. */
export type Comparing = {
  readonly startTime: number;
  readonly endTime: number;
  readonly alpha: number;
  readonly statistic: StatisticName;
};

/** A version as predictions and references are stored under it. */
export type KnownVersion = {
  readonly tenant: string;
  readonly model: string;
  readonly modelVersionId: string;
};

export type DriftService = {
  /** Throws `version_not_found` and `invalid_request`. The same reference again is the one that is there. */
  createReference(request: NewReference): Promise<ReferenceInfo>;
  /** References of a version, the one in use first. Throws `version_not_found`. */
  listReferences(tenant: string, model: string, version: string): Promise<ReferenceInfo[]>;
  /** Throws `drift_reference_not_found`. */
  findReference(tenant: string, id: string): Promise<ReferenceInfo & { distributions: DriftReference }>;
  /** Compares a window with the reference in use; a version without one has a status that says so. */
  report(
    version: { tenant: string; model: string; version: string },
    comparing: Comparing,
  ): Promise<DriftReport>;
  /** The same of a version that is known by its id. */
  reportOf(version: KnownVersion, comparing: Comparing): Promise<DriftReport>;
};

/** Runs some tasks at once, lets some wait. Throws `monitoring_busy` for more. */
function createTurns() {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async <T>(task: () => Promise<T>): Promise<T> => {
    if (running >= RUNNING_MAX) {
      if (waiting.length >= WAITING_MAX)
        throw new AppError('monitoring_busy', `${WAITING_MAX} comparisons wait already; try again later.`, {
          details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
        });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

const infoOf = ({ text: _text, ...info }: StoredReference): ReferenceInfo => info;

/** References and reports of drift. Throws `database_unavailable` while Postgres is away. */
export function createDriftService(repository: DriftRepository): DriftService {
  const distributions = createNullDistributions();
  const inTurn = createTurns();

  async function gather(window: PredictionWindow, bins: number | undefined) {
    const table = createFeatureTable(REFERENCE_VALUES_MAX);
    let predictions = 0;
    gathering: for await (const page of repository.pages(window))
      for (const prediction of page) {
        if (predictions === PREDICTIONS_MAX || !table.add(prediction)) break gathering;
        predictions += 1;
      }
    const columns = table.columns();
    if (columns.length === 0)
      throw new AppError(
        'invalid_request',
        'No prediction in the window has values to compare; choose another window, or give columns of the training data.',
      );
    const { startTime, endTime } = window;
    const source: ReferenceSource = {
      kind: 'predictions',
      startTime,
      endTime,
      predictions,
      skippedFeatures: table.skipped,
    };
    return { reference: buildReference(columns, { bins }), source };
  }

  function make(request: NewReference, modelVersionId: string) {
    const { origin, bins, tenant, model } = request;
    if ('window' in origin) return gather({ tenant, model, modelVersionId, ...origin.window }, bins);
    if ('columns' in origin)
      return { reference: buildReference(origin.columns, { bins }), source: { kind: 'columns' as const } };
    return { reference: parseReference(origin.reference), source: { kind: 'reference' as const } };
  }

  async function create(request: NewReference): Promise<ReferenceInfo> {
    const { tenant, model, version } = request;
    const modelVersionId = request.modelVersionId ?? (await repository.findVersion(tenant, model, version));
    if (modelVersionId === undefined) throw unknownVersion(model, version);
    const { reference, source } = await make(request, modelVersionId);
    const text = encodeReference(reference);
    const digest = sha256Hex(text);
    const inUse = await repository.active(tenant, modelVersionId);
    if (inUse?.digest === digest) return infoOf(inUse);
    const stored = {
      id: newId(),
      modelVersionId,
      model,
      version,
      digest,
      rows: reference.rows,
      features: reference.features.length,
      source,
      createdBy: request.principal,
      text,
    };
    const createdAt = await repository.insert(tenant, stored);
    return infoOf({ ...stored, createdAt });
  }

  /** Histograms of the reference's features in a window. */
  async function count(reference: DriftReference, window: PredictionWindow) {
    const features = new Map(reference.features.map((feature) => [feature.name, feature]));
    const histograms = new Map(reference.features.map((feature) => [feature.name, countValues(feature, [])]));
    let [predictions, unread, isTruncated] = [0, 0, false];
    for await (const page of repository.pages(window)) {
      const rows = page.slice(0, PREDICTIONS_MAX - predictions);
      isTruncated = rows.length < page.length;
      const values = new Map<string, unknown[]>();
      for (const prediction of rows) {
        let isRead = false;
        for (const feature of readFeatures(prediction)) {
          if (!features.has(feature.name)) continue;
          isRead = true;
          const known = values.get(feature.name);
          if (known === undefined) values.set(feature.name, [...feature.values]);
          else known.push(...feature.values);
        }
        if (!isRead) unread += 1;
      }
      for (const [name, found] of values) {
        const feature = features.get(name) as FeatureReference;
        histograms.set(name, mergeHistograms(histograms.get(name) as Histogram, countValues(feature, found)));
      }
      predictions += rows.length;
      if (isTruncated) break;
    }
    return { histograms, predictions, unread, isTruncated };
  }

  async function compare(version: KnownVersion, comparing: Comparing): Promise<DriftReport> {
    const { tenant, modelVersionId } = version;
    const { startTime, endTime, alpha, statistic } = comparing;
    const stored = await repository.active(tenant, modelVersionId);
    if (stored === undefined) return withoutReference(modelVersionId, comparing);
    const reference = JSON.parse(stored.text) as DriftReference;
    const { histograms, ...counted } = await count(reference, { ...version, startTime, endTime });
    const findings = [];
    for (const feature of reference.features) {
      findings.push(
        compareFeature(feature, histograms.get(feature.name), { distributions, alpha, statistic }),
      );
      // a comparison may simulate: requests are answered between two of them
      await turn();
    }
    const judgement = conclude(findings, { alpha });
    const features = judgement.features.map((judged, i): FeatureReport => {
      const feature = reference.features[i] as FeatureReference;
      return {
        ...judged,
        kind: feature.kind,
        edges: feature.kind === 'number' ? feature.edges : null,
        categories: feature.kind === 'category' ? feature.categories : null,
        reference: { counts: feature.counts, nulls: feature.nulls },
        window: histograms.get(feature.name) as Histogram,
      };
    });
    const isTold = features.some(({ status }) => status !== 'too-few-rows');
    const status = judgement.isDrifted ? 'drifted' : isTold ? 'stable' : 'too-few-rows';
    return { status, modelVersionId, reference: infoOf(stored), ...comparing, ...counted, features };
  }

  return {
    createReference: (request) => inTurn(() => create(request)),
    async listReferences(tenant, model, version) {
      const modelVersionId = await repository.findVersion(tenant, model, version);
      if (modelVersionId === undefined) throw unknownVersion(model, version);
      return repository.list(tenant, modelVersionId);
    },
    async findReference(tenant, id) {
      const found = await repository.find(tenant, id);
      if (found === undefined)
        throw new AppError('drift_reference_not_found', 'No drift reference has this id.');
      return { ...infoOf(found), distributions: JSON.parse(found.text) as DriftReference };
    },
    async report({ tenant, model, version }, comparing) {
      const modelVersionId = await repository.findVersion(tenant, model, version);
      if (modelVersionId === undefined) return withoutReference(null, comparing);
      return inTurn(() => compare({ tenant, model, modelVersionId }, comparing));
    },
    reportOf: (version, comparing) => inTurn(() => compare(version, comparing)),
  };
}

function withoutReference(modelVersionId: string | null, comparing: Comparing): DriftReport {
  const nothing = { predictions: 0, unread: 0, isTruncated: false, features: [] };
  return { status: 'no-reference', modelVersionId, reference: null, ...comparing, ...nothing };
}

function unknownVersion(model: string, version: string): AppError {
  return new AppError(
    'version_not_found',
    `No prediction of version "${version}" of the model "${model}" has come yet; send one, or give modelVersionId as the registry has it.`,
  );
}
