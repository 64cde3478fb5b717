import type { Stage } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { EnsembleMember, EnsembleSpec, PinnedEnsemble, Signature } from '@millrace/ensemble';
import { ENSEMBLE_BYTES_MAX, ENSEMBLE_PATH } from '@millrace/ensemble';
import { canonicalJson, modelDigest, sha256Hex } from '@millrace/integrity';
import type { TensorSpec } from '@millrace/onnx';
import type { Storage } from '@millrace/storage';
import { assertNames } from '../registration/labels.ts';
import { ensembleProvenance } from '../registration/provenance.ts';
import type { Registered, RegistrationService } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import type { VersionService } from '../versions/version.service.ts';
import type { WarmUp } from '../versions/warm-up.ts';
import { pinMembers } from './pin-members.ts';

/** Who registers, for the log and the provenance. */
export type Registrant = { readonly tenant: string; readonly id: string; readonly requestId: string };

/** An ensemble as it is asked for, and what the version is to be called. */
export type EnsembleRequest = {
  readonly model: string;
  readonly version: string | undefined;
  readonly stage: Stage;
  readonly spec: EnsembleSpec;
};

export type EnsembleServiceOptions = {
  database: Database;
  storage: Storage;
  key: SigningKey;
  registrations: RegistrationService;
  versions: VersionService;
  warmUp: WarmUp;
  logger: { warn(fields: object, message: string): void };
};

export type EnsembleService = ReturnType<typeof createEnsembleService>;

/** What inference says of an ensemble that fails its first run; anything else may pass. */
const REFUSALS: ReadonlySet<string> = new Set(['invalid_ensemble', 'inference_failed', 'output_too_large']);

function encode(pinned: PinnedEnsemble): Buffer {
  let text: string;
  try {
    text = canonicalJson(pinned);
  } catch (cause) {
    throw new AppError('invalid_request', 'A text of the ensemble is not valid Unicode.', { cause });
  }
  const bytes = Buffer.from(text);
  if (bytes.length <= ENSEMBLE_BYTES_MAX) return bytes;
  throw new AppError(
    'invalid_ensemble',
    `The ensemble takes ${bytes.length} bytes; at most ${ENSEMBLE_BYTES_MAX} are kept.`,
  );
}

const toSpecs = (tensors: Signature['inputs']): TensorSpec[] =>
  tensors.map((tensor) => ({ ...tensor, axisNames: null }));

/** Takes ensembles in: pin, check, store, sign, register, warm up. */
export function createEnsembleService(options: EnsembleServiceOptions) {
  const { database, storage, registrations, versions } = options;

  async function warmUp(registered: Registered): Promise<void> {
    if (registered.version.stage === 'archived') return;
    try {
      await options.warmUp(registered.version.id);
    } catch (error) {
      if (isAppError(error) && REFUSALS.has(error.code) && !registered.isReused) {
        await versions.withdraw(registered, error);
        throw new AppError('invalid_ensemble', `The first run failed. ${error.message}`, { cause: error });
      }
      options.logger.warn(
        { err: error, modelVersionId: registered.version.id },
        'The ensemble is registered but not warm; inference loads it at its first prediction.',
      );
    }
  }

  return {
    /**
     * Registers an ensemble as a version of a model; the same one again under its label is found.
     * @throws AppError `invalid_ensemble`, `invalid_name`, `version_conflict`, `stage_not_servable`, and those of a
     * member that is not there
     */
    async register(request: EnsembleRequest, by: Registrant): Promise<Registered> {
      const { model, version, stage, spec } = request;
      assertNames(model, version);
      const { pinned, signature } = await pinMembers(spec, {
        find: (name, label) => versions.find(by.tenant, name, label),
        warmUp: options.warmUp,
      });
      const bytes = encode(pinned);
      const sha256 = sha256Hex(bytes);
      const blob = await storage.putBlob(bytes);
      const members: EnsembleMember[] = pinned.steps.flatMap(({ member }) => member ?? []);
      const digest = modelDigest({ graphDigests: [sha256] });
      const inputs = toSpecs(signature.inputs);
      const outputs = toSpecs(signature.outputs);
      const signed = await signPackage(options.key, {
        name: model,
        files: [{ path: ENSEMBLE_PATH, ...blob }],
        modelDigest: digest,
        provenance: ensembleProvenance({ by: by.id, requestId: by.requestId, members }),
        meta: { framework: 'ensemble', inputs, outputs },
      });
      const registered = await database.transaction((tx) =>
        registrations.register(tx, {
          tenant: by.tenant,
          model,
          label: version,
          stage,
          framework: 'ensemble',
          modelDigest: digest,
          graph: { sha256, inputs, outputs },
          servingFile: ENSEMBLE_PATH,
          signed,
          inputSchema: undefined,
          outputSchema: undefined,
          metadata: undefined,
          lineage: { source: 'ensemble', requestId: by.requestId, members },
          metrics: {},
          by: by.id,
          requestId: undefined,
        }),
      );
      await warmUp(registered);
      return registered;
    },
  };
}
