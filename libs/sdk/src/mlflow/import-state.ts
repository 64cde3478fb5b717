import { createHash } from 'node:crypto';
import { isAppError } from '@millrace/contracts';
import type { CopiedFiles } from './mlflow-files.ts';
import type { MlflowServer } from './mlflow-server.ts';
import type { MlflowRun, Pair } from './mlflow-shapes.ts';

/** Failures that a report lists; it counts them all. */
const FAILURES_SHOWN_MAX = 100;
/** Errors after which nothing else would work either. */
const FATAL: ReadonlySet<string> = new Set([
  'dependency_unavailable',
  'database_unavailable',
  'storage_unavailable',
  'auth_required',
  'scope_missing',
  'request_cancelled',
  'rate_limited',
]);
/** Ids of runs as MLflow makes them, within its own tags. */
const RUN_ID = /\b[0-9a-f]{32}\b/g;

/** What an import did, or with `isDryRun` what it would do. */
export type ImportReport = {
  readonly isDryRun: boolean;
  experiments: { created: number; present: number };
  /** `copied` are new or changed since they were copied. */
  runs: { copied: number; unchanged: number };
  metricEntries: number;
  loggedModels: { copied: number; present: number };
  artifacts: { files: number; sizeBytes: number; present: number };
  models: { created: number; present: number };
  versions: { copied: number; present: number; skipped: number };
  aliases: number;
  /** Versions that have another number here: the numbers before it were deleted there, or taken here. */
  renumbered: { model: string; version: string; became: string }[];
  failures: number;
  failed: { what: string; why: string }[];
};

/** Where an import stands. */
export type ImportProgress = { readonly doing: string; readonly done: number; readonly of: number };

/** One import under way: both servers, what it knows of their ids, and what it did. */
export type ImportState = {
  readonly source: MlflowServer;
  readonly target: MlflowServer;
  /** Origin of the source, for tags. */
  readonly uri: string;
  readonly isDryRun: boolean;
  /** Some experiments only: versions that were made elsewhere are left out. */
  readonly isPartial: boolean;
  /** Looks also at what did not change since it was copied. */
  readonly isRecheck: boolean;
  /** Ids at the target by those at the source; a dry run has the source's own for what would be made. */
  readonly runIds: Map<string, string>;
  readonly runUris: Map<string, { readonly from: string; readonly to: string }>;
  readonly loggedModelIds: Map<string, string>;
  /**
   * Addresses at the target, of files, folders and logged models, that are not whole: no version is made of them, which
   * would be signed for good without what is missing.
   */
  readonly unfinished: Set<string>;
  /** Numbers at the target by `name/number` at the source. */
  readonly versions: Map<string, string>;
  readonly report: ImportReport;
  onProgress(progress: ImportProgress): void;
};

/** A report of nothing yet. */
export const emptyReport = (isDryRun: boolean): ImportReport => ({
  isDryRun,
  experiments: { created: 0, present: 0 },
  runs: { copied: 0, unchanged: 0 },
  metricEntries: 0,
  loggedModels: { copied: 0, present: 0 },
  artifacts: { files: 0, sizeBytes: 0, present: 0 },
  models: { created: 0, present: 0 },
  versions: { copied: 0, present: 0, skipped: 0 },
  aliases: 0,
  renumbered: [],
  failures: 0,
  failed: [],
});

/** Notes what one thing failed with and goes on; throws what would stop all others too. */
export async function goingOn(
  { report }: ImportState,
  what: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isAppError(error) || FATAL.has(error.code)) throw error;
    noteFailure(report, what, error.message);
  }
}

/** Adds the files of one thing to the report, and those that its server did not send to its failures. */
export function noteFiles(
  { report, unfinished }: ImportState,
  what: string,
  address: string,
  copied: CopiedFiles,
): void {
  report.artifacts.files += copied.files;
  report.artifacts.sizeBytes += copied.sizeBytes;
  report.artifacts.present += copied.present;
  for (const { path, why } of copied.missing) {
    unfinished.add(`${address}/${path}`);
    noteFailure(report, `file ${path} of ${what}`, why);
  }
}

function noteFailure(report: ImportReport, what: string, why: string): void {
  report.failures += 1;
  if (report.failed.length < FAILURES_SHOWN_MAX) report.failed.push({ what, why });
}

/** Tags as they are kept here: MLflow's own ones name runs by their ids, which are others now. */
export function translated(state: ImportState, tags: readonly Pair[] = []): { key: string; value: string }[] {
  return tags.map(({ key, value = '' }) => ({
    key,
    value: key.startsWith('mlflow.') ? value.replace(RUN_ID, (id) => state.runIds.get(id) ?? id) : value,
  }));
}

const byKey = (a: { key: string }, b: { key: string }): number =>
  a.key < b.key ? -1 : a.key > b.key ? 1 : 0;

/** A digest of all that a server says of a run; whatever changes in it changes the digest. */
export function recordDigest({ info, data, inputs, outputs }: MlflowRun): string {
  const sorted = {
    metrics: [...(data.metrics ?? [])].sort(byKey),
    params: [...(data.params ?? [])].sort(byKey),
    tags: [...(data.tags ?? [])].sort(byKey),
  };
  return createHash('sha256')
    .update(JSON.stringify([info, sorted, inputs, outputs]))
    .digest('hex');
}

/** Lists in pieces of at most so many. */
export function pieces<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
