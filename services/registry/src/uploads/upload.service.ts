import { AppError, isAppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import type { ImportService } from '../imports/import.service.ts';
import type { ImportFormat, ImportRow } from '../imports/import.table.ts';
import type {
  ReadyRegistration,
  Registered,
  RegistrationService,
} from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { VersionService } from '../versions/version.service.ts';
import type { UploadForm } from './multipart.ts';
import { prepareOnnx } from './prepare-onnx.ts';
import { prepareTfjs, storeFiles } from './prepare-tfjs.ts';
import type { UploadRequest } from './upload-fields.ts';
import type { UploadedModel } from './uploaded-model.ts';
import { contentDigest, readUploadedModel } from './uploaded-model.ts';
import type { WorkLimit } from './work-limit.ts';

/** Who uploads, for the log and the provenance. */
export type Uploader = { readonly tenant: string; readonly id: string; readonly requestId: string };

/** A version, or the import that will make one. */
export type UploadOutcome = { readonly registered: Registered } | { readonly importing: ImportRow };

export type UploadServiceOptions = {
  database: Database;
  storage: Storage;
  key: SigningKey;
  registrations: RegistrationService;
  versions: VersionService;
  imports: ImportService;
  /** Bounds how many models are in memory at once. */
  limit: WorkLimit;
  /** Has inference verify, load and warm the version; throws what inference answers. */
  warmUp: (modelVersionId: string) => Promise<unknown>;
  /** Tells workers that a conversion will follow. */
  announceConversion: () => void;
  logger: { warn(fields: object, message: string): void };
};

export type UploadService = ReturnType<typeof createUploadService>;

/** A conversion that takes longer is answered with 202; a proxy waits a minute for a silent server (ms). */
const CONVERSION_WAIT_MS = 50_000;
/** What inference says of a model that it will never run; anything else may pass. */
const REFUSALS: ReadonlySet<string> = new Set([
  'model_load_failed',
  'unsupported_operator',
  'unsupported_input',
  'unsupported_output',
]);
/** Folders of the files of a conversion, by what they are. */
const FOLDERS: Readonly<Record<ImportFormat, string>> = {
  saved_model: 'saved_model/',
  keras: '',
  tfjs_graph: 'tfjs/',
  weights: '',
};

type Converted = Exclude<UploadedModel, { kind: 'onnx' }>;

/** What a model is converted as. @throws AppError `unsupported_framework` for a layers model */
function importFormat(model: Converted): ImportFormat {
  if (model.kind !== 'tfjs') return model.kind;
  if (model.model.format === 'graph-model') return 'tfjs_graph';
  throw new AppError(
    'unsupported_framework',
    'A layers model of TF.js is served by TensorFlow.js; send it with framework=tensorflow.',
  );
}

/** Takes an uploaded model in: check, inspect, store, then sign, register and warm up, or have it converted first. */
export function createUploadService(options: UploadServiceOptions) {
  const { database, storage, registrations, versions, imports } = options;

  function assertDigest(form: UploadForm, sha256: string | undefined): void {
    const [only] = form.parts;
    if (sha256 === undefined || only === undefined) return;
    if (form.parts.length > 1)
      throw new AppError('invalid_request', 'sha256 is the digest of one file; leave it out for several.');
    if (sha256 === only.file.sha256) return;
    throw new AppError(
      'checksum_mismatch',
      `The bytes have SHA-256 ${only.file.sha256} instead of ${sha256}; upload again.`,
    );
  }

  /** The next /predict should succeed; a model that the runtime refuses is taken back. */
  async function warmUp(registered: Registered): Promise<void> {
    if (registered.version.stage === 'archived') return;
    try {
      await options.warmUp(registered.version.id);
    } catch (error) {
      if (isAppError(error) && REFUSALS.has(error.code) && !registered.isReused) {
        await versions.withdraw(registered, error);
        throw error;
      }
      options.logger.warn(
        { err: error, modelVersionId: registered.version.id },
        'The version is registered but not warm; inference loads it at its first prediction.',
      );
    }
  }

  async function convert(
    fields: UploadRequest,
    model: Converted,
    format: ImportFormat,
    by: Uploader,
  ): Promise<UploadOutcome> {
    const digest = contentDigest('onnx', model.files);
    const there = await imports.findRegistered(by.tenant, fields, digest);
    if (there !== undefined) return { registered: there };
    options.announceConversion();
    const files = await storeFiles(storage, model.files, FOLDERS[format]);
    const id = newId();
    return { importing: await imports.start({ id, fields, format, files, contentDigest: digest }, by) };
  }

  async function take(fields: UploadRequest, form: UploadForm, by: Uploader): Promise<UploadOutcome> {
    const register = async (ready: ReadyRegistration): Promise<UploadOutcome> => ({
      registered: await database.transaction((tx) => registrations.register(tx, ready)),
    });
    const model = await readUploadedModel(form.parts, fields.framework, form.area);
    if (model.kind === 'onnx') return register(await prepareOnnx(options, fields, model.file, by));
    if (model.kind === 'tfjs' && fields.framework === 'tensorflow')
      return register(await prepareTfjs(options, fields, model, by));
    return convert(fields, model, importFormat(model), by);
  }

  return {
    /**
     * Registers an uploaded model, or asks for its conversion and waits for it unless `isAsync`. The caller disposes of
     * the form's area.
     * @throws AppError `checksum_mismatch`, `version_conflict`, `unsupported_framework`, `unknown_format`,
     * `model_load_failed`, `conversion_failed`, `parity_failed`, `unsafe_model`, and those of the files
     */
    async upload(
      fields: UploadRequest,
      form: UploadForm,
      by: Uploader,
      isAsync: boolean,
    ): Promise<UploadOutcome> {
      assertDigest(form, fields.sha256);
      const taken = await options.limit(() => take(fields, form, by));
      const importing = 'importing' in taken ? taken.importing : undefined;
      if (importing !== undefined && isAsync) return taken;
      const registered =
        importing === undefined
          ? (taken as { registered: Registered }).registered
          : await imports.waitFor(importing.id, CONVERSION_WAIT_MS);
      if (registered === undefined) return taken;
      await warmUp(registered);
      return { registered };
    },
  };
}
