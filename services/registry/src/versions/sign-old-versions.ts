import type { Database } from '@millrace/database';
import type { ModelRepository } from '../models/model.repository.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { VersionRepository } from './version.repository.ts';
import type { FoundVersion } from './version.service.ts';
import { signIdentity } from './version-identity.ts';

/** Versions that are read at once. */
const PAGE_ROWS = 100;

/**
 * Binds the names of versions from before there was a statement of it to their packages, after every check that can
 * still be made: signature, history and bytes. Gives how many were bound, and those that failed with the reason.
 */
export async function signOldVersions(options: {
  database: Database;
  models: ModelRepository;
  rows: VersionRepository;
  key: SigningKey;
  /** Checks signature, history and every file. */
  check(found: FoundVersion): Promise<unknown>;
}): Promise<{ bound: number; refused: { modelVersionId: string; error: unknown }[] }> {
  const { database, models, rows, key, check } = options;
  const refused: { modelVersionId: string; error: unknown }[] = [];
  let bound = 0;
  for (let after: string | undefined; ; ) {
    const page = await rows.withoutIdentity(database.db, after, PAGE_ROWS);
    for (const { id, modelId } of page) {
      const [row, model] = await Promise.all([
        rows.findById(database.db, id),
        models.findById(database.db, modelId),
      ]);
      if (row === undefined || model === undefined) continue;
      try {
        await check({ ...row, model });
        await rows.setIdentity(database.db, id, await signIdentity(key, model, row.version));
        bound += 1;
      } catch (error) {
        refused.push({ modelVersionId: id, error });
      }
    }
    after = page.at(-1)?.id;
    if (page.length < PAGE_ROWS) return { bound, refused };
  }
}
