import type { Database } from '@millrace/database';
import { and, eq, sql } from 'drizzle-orm';
import type * as schema from '../schema.ts';

export type RegisteredLookup = ReturnType<typeof createRegisteredLookup>;

/** What the history has about the registration of a version. */
export function createRegisteredLookup(database: Database, changes: (typeof schema)['changeLog']) {
  async function find(modelId: string, modelVersionId: string) {
    const rows = await database.db
      .select({ seq: changes.seq, digest: sql<string | null>`${changes.entry}->>'packageDigest'` })
      .from(changes)
      .where(
        and(
          eq(changes.modelId, modelId),
          sql`${changes.entry}->>'action' = 'registered'`,
          sql`${changes.entry}->>'modelVersionId' = ${modelVersionId}`,
        ),
      );
    return rows[0];
  }

  return {
    /** Its place in the chain of the model. */
    seq: async (modelId: string, modelVersionId: string) => (await find(modelId, modelVersionId))?.seq,
    /** The package that it was registered with. */
    packageDigest: async (modelId: string, modelVersionId: string) =>
      (await find(modelId, modelVersionId))?.digest ?? undefined,
  };
}
