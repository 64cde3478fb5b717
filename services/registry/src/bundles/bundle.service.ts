import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { SignatureBundle } from '@millrace/integrity';
import { HISTORY_ROWS_MAX, historyStatement, packageSubjects, signStatement } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { blobKey } from '@millrace/storage';
import type { ChangeRow } from '../history/change-log.table.ts';
import type { ChangeLog } from '../history/change-log.ts';
import type { RegisteredLookup } from '../history/registered-lookup.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { FoundVersion } from '../versions/version.service.ts';

export type BundleService = ReturnType<typeof createBundleService>;

/** The rows of a model's history from the registration of a version on, and the signed statement about them. */
export type HistoryProof = { readonly rows: readonly ChangeRow[]; readonly statement: SignatureBundle };

/** What a bundle of a version is made of. */
export function createBundleService(options: {
  database: Database;
  versions: VersionRepository;
  changeLog: ChangeLog;
  registered: RegisteredLookup;
  storage: Storage;
  key: SigningKey;
}) {
  const { database, versions, changeLog, registered, storage, key } = options;

  /**
   * Binds the version's name to its package: its registration and what came after it, up to a bound, signed now.
   * @throws AppError `log_chain_broken` when the history does not have the registration
   */
  async function prove({ model, version, package: pack }: FoundVersion): Promise<HistoryProof> {
    const seq = await registered.seq(model.id, version.id);
    const rows =
      seq === undefined ? [] : await changeLog.after(database.db, model.id, seq - 1, HISTORY_ROWS_MAX + 1);
    const isComplete = rows.length <= HISTORY_ROWS_MAX;
    const kept = rows.slice(0, HISTORY_ROWS_MAX);
    const [first, last] = [kept[0], kept.at(-1)];
    if (first === undefined || last === undefined) {
      throw new AppError(
        'log_chain_broken',
        `The history of ${model.name} does not have the registration of ${version.label}.`,
      );
    }
    const subjects = packageSubjects({
      packageDigest: pack.packageDigest,
      modelDigest: version.modelDigest,
      rootDigest: pack.rootDigest,
    });
    const statement = historyStatement(subjects, {
      model: model.name,
      version: version.label,
      modelVersionId: version.id,
      after: first.prevHash,
      head: last.hash,
      rows: kept.length,
      isComplete,
      at: new Date().toISOString(),
    });
    return { rows: kept, statement: await signStatement(statement, key.signer) };
  }

  return {
    /** All parts, with presigned URLs of the files. @throws AppError `log_chain_broken`, `signer_unavailable` */
    async parts(found: FoundVersion) {
      const { manifest, signature, packageDigest } = found.package;
      const [history, attestations, files] = await Promise.all([
        prove(found),
        versions.attestations(database.db, found.version.id),
        Promise.all(
          manifest.files.map(async (file) => ({
            ...file,
            url: await storage.presignGet(blobKey(file.sha256)),
          })),
        ),
      ]);
      return {
        model: found.model.name,
        version: found.version.label,
        packageDigest,
        manifest: { files: [...manifest.files] },
        signature,
        publicKeyPem: key.publicKeyPem,
        attestations: attestations.map(({ name, predicateType, bundle }) => ({
          name,
          predicateType,
          bundle,
        })),
        identity: found.version.identity ?? null,
        history,
        files,
      };
    },
  };
}
