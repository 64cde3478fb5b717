import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { and, asc, eq, inArray, lt, or, sql } from 'drizzle-orm';
import type { ArtifactTables } from './artifact.table.ts';

type ArtifactRow = ArtifactTables['artifacts']['$inferSelect'];
export type UploadRow = ArtifactTables['artifactUploads']['$inferSelect'];
export type NewArtifact = Omit<ArtifactRow, 'createdAt'>;
/** What lies directly in a folder. */
export type FolderEntry = { readonly name: string; readonly isFolder: boolean; readonly sizeBytes: number };
export type ArtifactRepository = ReturnType<typeof createArtifactRepository>;

/** Reads and writes of the paths of artifacts; the bytes are in the object store. */
export function createArtifactRepository({ artifacts, artifactUploads, artifactGarbage }: ArtifactTables) {
  /** Everything below a folder: one range of the key, for `0` follows `/`. */
  const below = (path: string): SQL =>
    path === '' ? sql`true` : sql`(${artifacts.path} > ${`${path}/`} and ${artifacts.path} < ${`${path}0`})`;

  const discard = async (db: Executor, objectKeys: readonly string[]): Promise<void> => {
    if (objectKeys.length === 0) return;
    const rows = objectKeys.map((objectKey) => ({ objectKey }));
    await db.insert(artifactGarbage).values(rows).onConflictDoNothing();
  };

  return {
    async find(db: Executor, tenant: string, path: string): Promise<ArtifactRow | undefined> {
      const rows = await db
        .select()
        .from(artifacts)
        .where(and(eq(artifacts.tenant, tenant), eq(artifacts.path, path)));
      return rows[0];
    },

    /** Files at or below a path, by path. */
    list: (db: Executor, tenant: string, path: string, limit: number) =>
      db
        .select()
        .from(artifacts)
        .where(and(eq(artifacts.tenant, tenant), or(eq(artifacts.path, path), below(path))))
        .orderBy(asc(artifacts.path))
        .limit(limit),

    async entries(db: Executor, tenant: string, path: string, limit: number): Promise<FolderEntry[]> {
      const rest = sql`substr(${artifacts.path}, ${path === '' ? 1 : [...path].length + 2})`;
      const { rows } = await db.execute<{ name: string; is_folder: boolean; size: number }>(sql`
        select split_part(rest, '/', 1) as name, strpos(rest, '/') > 0 as is_folder, max(size_bytes)::float8 as size
        from (select ${rest} as rest, ${artifacts.sizeBytes} as size_bytes from ${artifacts}
          where ${artifacts.tenant} = ${tenant} and ${below(path)}) as files
        group by 1, 2 order by 1, 2 limit ${limit}`);
      return rows.map(({ name, is_folder, size }) => ({ name, isFolder: is_folder, sizeBytes: size }));
    },

    /** Notes an object that nothing points to yet, so that it is swept if nothing ever does. */
    announce: (db: Executor, objectKey: string) => discard(db, [objectKey]),

    /** Lets a path point to an object that was announced; the one before becomes garbage. */
    async put(tx: Executor, row: NewArtifact): Promise<void> {
      const [before] = await tx
        .select({ objectKey: artifacts.objectKey })
        .from(artifacts)
        .where(and(eq(artifacts.tenant, row.tenant), eq(artifacts.path, row.path)))
        .for('update');
      await tx
        .insert(artifacts)
        .values(row)
        .onConflictDoUpdate({
          target: [artifacts.tenant, artifacts.path],
          set: {
            objectKey: row.objectKey,
            sizeBytes: row.sizeBytes,
            sha256: row.sha256,
            createdAt: sql`now()`,
          },
        });
      await tx.delete(artifactGarbage).where(eq(artifactGarbage.objectKey, row.objectKey));
      if (before !== undefined) await discard(tx, [before.objectKey]);
    },

    /** Removes the files at and below a path; their objects become garbage. Returns how many there were. */
    async remove(tx: Executor, tenant: string, path: string): Promise<number> {
      const rows = await tx
        .delete(artifacts)
        .where(and(eq(artifacts.tenant, tenant), or(eq(artifacts.path, path), below(path))))
        .returning({ objectKey: artifacts.objectKey });
      await discard(
        tx,
        rows.map(({ objectKey }) => objectKey),
      );
      return rows.length;
    },

    addUpload: (tx: Executor, row: Omit<UploadRow, 'createdAt'>) => tx.insert(artifactUploads).values(row),

    async findUpload(db: Executor, tenant: string, uploadId: string): Promise<UploadRow | undefined> {
      const rows = await db
        .select()
        .from(artifactUploads)
        .where(and(eq(artifactUploads.uploadId, uploadId), eq(artifactUploads.tenant, tenant)));
      return rows[0];
    },

    removeUpload: (tx: Executor, uploadId: string) =>
      tx.delete(artifactUploads).where(eq(artifactUploads.uploadId, uploadId)),

    oldUploads: (db: Executor, before: Date, limit: number) =>
      db.select().from(artifactUploads).where(lt(artifactUploads.createdAt, before)).limit(limit),

    oldGarbage: (db: Executor, before: Date, limit: number) =>
      db
        .select({ objectKey: artifactGarbage.objectKey })
        .from(artifactGarbage)
        .where(lt(artifactGarbage.createdAt, before))
        .limit(limit),

    forget: (db: Executor, objectKeys: readonly string[]) =>
      db.delete(artifactGarbage).where(inArray(artifactGarbage.objectKey, [...objectKeys])),
  };
}
