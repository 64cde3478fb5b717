import type { TenantCount } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { lockName } from '@millrace/database';
import type { QuotaOf } from '@millrace/service-kit';
import { assertQuota } from '@millrace/service-kit';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ArtifactRepository } from '../tracking/artifact.repository.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { RegistryCounts } from './registry-counts.ts';

type Bounds = { readonly counts: RegistryCounts; readonly quotaOf: QuotaOf };
type Counted = Exclude<TenantCount, 'openJobs' | 'datasetBytes'>;

/**
 * Checks what was just written in the same transaction, which a refusal rolls back: so what is counted is what would be
 * there. Writers of one tenant wait for each other, but only where it has a bound.
 */
async function assertFits({ counts, quotaOf }: Bounds, tx: Executor, tenant: string, what: Counted) {
  await assertQuota(quotaOf(tenant), what, 0, async () => {
    await lockName(tx, `quota:${what}:${tenant}`);
    return counts[what](tx, tenant);
  });
}

/** Models, of which a tenant may have so many. New ones are refused with `quota_reached`. */
export function boundedModels(models: ModelRepository, bounds: Bounds): ModelRepository {
  return {
    ...models,
    async lockOrCreate(tx, tenant, name) {
      const isNew = (await models.find(tx, tenant, name)) === undefined;
      const row = await models.lockOrCreate(tx, tenant, name);
      if (isNew) await assertFits(bounds, tx, tenant, 'models');
      return row;
    },
    async insert(tx, row) {
      const made = await models.insert(tx, row);
      if (made !== undefined) await assertFits(bounds, tx, made.tenant, 'models');
      return made;
    },
  };
}

/** Versions, whose files may take so many bytes. New ones are refused with `quota_reached`. */
export function boundedVersions(
  versions: VersionRepository,
  models: ModelRepository,
  bounds: Bounds,
): VersionRepository {
  return {
    ...versions,
    async insert(tx, row) {
      const made = await versions.insert(tx, row);
      const model = await models.findById(tx, row.modelId);
      if (model !== undefined) await assertFits(bounds, tx, model.tenant, 'modelBytes');
      return made;
    },
  };
}

/** Artifacts of runs, which may take so many bytes. What is over is refused with `quota_reached`. */
export function boundedArtifacts(artifacts: ArtifactRepository, bounds: Bounds): ArtifactRepository {
  return {
    ...artifacts,
    async put(tx, row) {
      await artifacts.put(tx, row);
      await assertFits(bounds, tx, row.tenant, 'artifactBytes');
    },
  };
}
