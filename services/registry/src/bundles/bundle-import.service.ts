import type { Outbox } from '@millrace/bus';
import { AppError, isAppError, ModelVersionRejected, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { OpenedBundle } from '@millrace/integrity';
import { openVerifiedBundle, readTrust, sha256Hex, tarBundle } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import type { Gate } from '../governance/gate.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import { assertNames } from '../registration/labels.ts';
import { assertPickles } from '../registration/pickles.ts';
import { bundleProvenance } from '../registration/provenance.ts';
import type {
  ReadyRegistration,
  Registered,
  RegistrationService,
} from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import type { SpooledFile } from '../uploads/spool.ts';
import type { Uploader } from '../uploads/upload.service.ts';
import type { WorkLimit } from '../uploads/work-limit.ts';
import type { FoundVersion, VersionService } from '../versions/version.service.ts';
import { servedAs, storeOrigin, storePackage } from './bundle-package.ts';

/** The names that a bundle gets here, and whose signatures are taken for it. */
export type BundleImportRequest = {
  readonly model: string;
  readonly version: string;
  /** Public keys and certificates of authorities (PEM). */
  readonly trustedPem: string;
  /** Whether a bundle of a release that did not sign which version it is will do. */
  readonly isIdentityOptional: boolean;
};

export type BundleImportService = ReturnType<typeof createBundleImportService>;

/**
 * Takes versions of other registries in: everything that their bundle says is verified against keys that the caller
 * vouches for, then the package is signed anew with what they had signed inside it.
 */
export function createBundleImportService(options: {
  database: Database;
  storage: Storage;
  key: SigningKey;
  models: ModelRepository;
  gate: Gate;
  registrations: RegistrationService;
  versions: VersionService;
  outbox: Outbox;
  /** Bounds how many are worked on at once. */
  limit: WorkLimit;
  /** Has inference verify, load and warm the version. */
  warmUp: (modelVersionId: string) => Promise<unknown>;
  logger: { warn(fields: object, message: string): void };
}) {
  const { database, storage, key, models, gate, registrations, versions, outbox, logger } = options;

  /** The version of this label when it is of these very bytes. */
  async function findSame(
    { tenant }: Uploader,
    { model, version }: BundleImportRequest,
    packageDigest: string,
  ): Promise<FoundVersion | undefined> {
    const found = await versions.find(tenant, model, version).catch((error: unknown) => {
      if (isAppError(error) && error.status === 404) return undefined;
      throw error;
    });
    return found?.version.label === version && found.version.packageDigest === packageDigest
      ? found
      : undefined;
  }

  async function ready(
    request: BundleImportRequest,
    bundle: OpenedBundle,
    by: Uploader,
  ): Promise<ReadyRegistration> {
    const { summary, manifest, statements } = bundle;
    const meta = statements.meta.predicate;
    const origin = await storeOrigin(storage, bundle);
    const served = await servedAs(
      storage,
      manifest.files,
      typeof meta.framework === 'string' ? meta.framework : 'files',
    );
    const modelDigest = modelDigestOf(bundle);
    const from = { model: summary.model, version: summary.version, packageDigest: summary.packageDigest };
    return {
      tenant: by.tenant,
      model: request.model,
      label: request.version,
      stage: 'development',
      framework: served.framework,
      modelDigest,
      // the same bundle again is the same version, however often its history was signed meanwhile
      graph: { sha256: summary.packageDigest, inputs: served.inputs, outputs: served.outputs },
      servingFile: served.servingFile,
      signed: await signPackage(key, {
        name: request.model,
        files: [...manifest.files, ...served.made, ...origin],
        modelDigest,
        provenance: bundleProvenance({
          by: by.id,
          requestId: by.requestId,
          bundle: summary,
          statements: origin,
        }),
        meta: { ...meta, importedFrom: from },
      }),
      inputSchema: textOf(meta.inputSchema),
      outputSchema: textOf(meta.outputSchema),
      metadata: textOf(meta.metadata),
      lineage: { source: 'bundle', ...from, keyId: summary.keyId, historyHead: summary.history.head },
      metrics: {},
      by: by.id,
      requestId: undefined,
    };
  }

  async function refused(request: BundleImportRequest, error: AppError, { tenant }: Uploader): Promise<void> {
    const { code, message } = error;
    const fact = {
      model: request.model,
      version: request.version,
      where: 'registration' as const,
      error: { code, message },
    };
    await database.transaction((tx) => outbox.append(tx, ModelVersionRejected, newId(), fact, { tenant }));
  }

  async function take(request: BundleImportRequest, file: SpooledFile, by: Uploader): Promise<Registered> {
    const source = tarBundle(() => file.stream());
    const { isIdentityOptional } = request;
    const bundle = await openVerifiedBundle(source, request.trustedPem, { isIdentityOptional });
    const same = await findSame(by, request, bundle.summary.packageDigest);
    if (same !== undefined) return { ...same, isReused: true };
    const pickles = await storePackage(storage, source, bundle);
    const model = await models.find(database.db, by.tenant, request.model);
    const { policy } = await gate.policyOf(database.db, model ?? { id: newId(), tenant: by.tenant });
    assertPickles(pickles, policy);
    const registration = await ready(request, bundle, by);
    return await database.transaction((tx) => registrations.register(tx, registration));
  }

  return {
    /**
     * Registers the version of a bundle under the names asked for; the same bundle again is found.
     * @throws AppError `invalid_request` for keys that are none, `version_conflict`, `unsafe_model`, and those of a bundle
     * that is not what was signed
     */
    async import(request: BundleImportRequest, file: SpooledFile, by: Uploader): Promise<Registered> {
      assertNames(request.model, request.version);
      assertTrust(request.trustedPem);
      let registered: Registered;
      try {
        registered = await options.limit(() => take(request, file, by));
      } catch (error) {
        if (isAppError(error) && !error.retryable) await refused(request, error, by);
        throw error;
      }
      if (registered.version.servingFile !== '') {
        await options.warmUp(registered.version.id).catch((error: unknown) => {
          logger.warn(
            { err: error, modelVersionId: registered.version.id },
            'The version of a bundle is registered but not warm; inference loads it at its first prediction.',
          );
        });
      }
      return registered;
    },
  };
}

function assertTrust(pem: string): void {
  try {
    readTrust(pem);
  } catch (cause) {
    throw new AppError(
      'invalid_request',
      `trust holds no public keys or certificates: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** What the other registry took for the function of the model; the digest of its package where it named none. */
function modelDigestOf({ statements, summary }: OpenedBundle): string {
  const subject = statements.provenance.subject.find(({ name }) => name === 'model');
  return subject?.digest.sha256 ?? sha256Hex(summary.packageDigest);
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
