import type { ArtifactRef, ResolvedVersion } from '@millrace/contracts';
import { MODEL_JSON } from '@millrace/tfjs';
import type { GraphFile, WeightFile } from '../engine/runtime-session.ts';
import type { PackageCache } from './package-cache.ts';
import { LABELS_FILE } from './package-labels.ts';

/** The files of a package that its runtime reads: the one to serve and, of a TF.js model, the weights beside it. */
export function filesToServe(
  { manifest }: Pick<ResolvedVersion, 'manifest'>,
  file: ArtifactRef,
): [ArtifactRef, ...ArtifactRef[]] {
  if (file.path !== MODEL_JSON) return [file];
  const weights = manifest.files.filter(
    ({ path }) => path !== MODEL_JSON && path !== LABELS_FILE && !path.includes('/'),
  );
  return [file, ...weights];
}

/** Fetches them into the node cache. Throws what `fetch` throws. */
export async function placeFiles(
  [file, ...others]: readonly [ArtifactRef, ...ArtifactRef[]],
  cache: PackageCache,
): Promise<GraphFile> {
  const graph = { path: await cache.fetch(file.sha256), sha256: file.sha256 };
  if (file.path !== MODEL_JSON) return graph;
  const weights: WeightFile[] = [];
  for (const { path: name, sha256 } of others)
    weights.push({ name, path: await cache.fetch(sha256), sha256 });
  return { ...graph, weights };
}
