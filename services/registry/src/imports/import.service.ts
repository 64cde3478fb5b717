import { setTimeout as sleep } from 'node:timers/promises';
import type { Outbox } from '@millrace/bus';
import type { ArtifactRef, WireError } from '@millrace/contracts';
import {
  AppError,
  appErrorFrom,
  ModelImportAbandoned,
  ModelImportConversionRequested,
  ModelVersionRejected,
} from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { ModelRepository } from '../models/model.repository.ts';
import type {
  ReadyRegistration,
  Registered,
  RegistrationService,
} from '../registration/registration.service.ts';
import type { Uploader } from '../uploads/upload.service.ts';
import type { UploadRequest } from '../uploads/upload-fields.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { ImportRepository } from './import.repository.ts';
import type { ImportFormat, ImportRow } from './import.table.ts';

/** How often imports are looked for whose time is over (ms), and how many are ended at once. */
const SWEEP_MS = 1_000;
const SWEEP_ROWS = 50;
/** How often the state of an import is asked for while its upload waits (ms). */
const POLL_MS = 200;
/** Opset, tag, signature and tolerance (absolute) that uploads are converted with. */
const CONVERSION = {
  format: 'onnx',
  opset: 17,
  tag: 'serve',
  signature: 'serving_default',
  tolerance: 1e-4,
} as const;

export type ImportServiceOptions = {
  database: Database;
  models: ModelRepository;
  versions: VersionRepository;
  imports: ImportRepository;
  registrations: RegistrationService;
  outbox: Outbox;
  /** An import that takes longer is given up (ms). */
  timeoutMs: number;
  logger: { warn(fields: object, message: string): void };
};

/** An upload that is to be converted: its files are stored. */
export type ImportRequest = {
  /** The id that it gets unless the same upload is being converted already. */
  readonly id: string;
  readonly fields: UploadRequest;
  readonly format: ImportFormat;
  readonly files: readonly ArtifactRef[];
  readonly contentDigest: string;
};

export type ImportService = ReturnType<typeof createImportService>;

/**
 * The saga of an upload that is converted before it is a version: asked for, converted, registered; or failed, cancelled,
 * or given up when its time is over, whatever became of its conversion.
 */
export function createImportService(options: ImportServiceOptions) {
  const { database, models, versions, imports, registrations, outbox, timeoutMs } = options;

  const conflict = ({ version, modelId }: UploadRequest): AppError =>
    new AppError(
      'version_conflict',
      `Version ${version} of ${modelId} exists with other bytes or is being made of them; choose a new version label.`,
    );

  /** The version of this label when it is of the same upload. @throws AppError `version_conflict` */
  async function findRegistered(
    db: Executor,
    tenant: string,
    fields: UploadRequest,
    contentDigest: string,
  ): Promise<Registered | undefined> {
    const model = await models.find(db, tenant, fields.modelId);
    const there = model && (await versions.findByLabel(db, model.id, fields.version));
    if (model === undefined || there === undefined) return undefined;
    if (there.version.graphSha256 !== contentDigest) throw conflict(fields);
    return { ...there, model, isReused: true };
  }

  async function ended(
    tx: Executor,
    row: ImportRow,
    error: WireError,
    state: 'failed' | 'cancelled' = 'failed',
  ): Promise<void> {
    await imports.setEnded(tx, row.id, state, error);
    await outbox.append(
      tx,
      ModelVersionRejected,
      row.id,
      { model: row.model, version: row.label, where: 'registration', error },
      { tenant: row.tenant },
    );
  }

  /** Has the converter stop what nobody waits for. */
  const abandon = (tx: Executor, { id, tenant }: ImportRow, error: WireError) =>
    outbox.append(tx, ModelImportAbandoned, id, { importId: id, tenant, error }, { tenant });

  /** Where an import is over for a reason that its conversion does not know. */
  async function giveUp(
    tx: Executor,
    row: ImportRow,
    error: AppError,
    state: 'failed' | 'cancelled',
  ): Promise<void> {
    const { code, message, retryable } = error;
    await ended(tx, row, { code, message, retryable }, state);
    await abandon(tx, row, { code, message, retryable });
  }

  async function find(tenant: string, id: string): Promise<ImportRow> {
    const row = await imports.find(database.db, id);
    if (row?.tenant === tenant) return row;
    throw new AppError('import_not_found', `There is no import ${id}.`);
  }

  async function sweep(): Promise<void> {
    await database.transaction(async (tx) => {
      for (const row of await imports.lockDue(tx, SWEEP_ROWS))
        await giveUp(tx, row, lateError(row), 'failed');
    });
  }

  let sweeping: Promise<void> | undefined;
  const timer = setInterval(() => {
    sweeping ??= sweep()
      .catch((error: unknown) => options.logger.warn({ err: error }, 'Late imports could not be given up.'))
      .finally(() => {
        sweeping = undefined;
      });
  }, SWEEP_MS);
  timer.unref();

  return {
    findRegistered: (tenant: string, fields: UploadRequest, contentDigest: string) =>
      findRegistered(database.db, tenant, fields, contentDigest),

    /** @throws AppError `import_not_found` */
    find,

    /**
     * Ends an import that is being converted and stops its conversion; one that was cancelled stays so.
     * @throws AppError `import_not_found`, `import_not_open` when it is over
     */
    async cancel(tenant: string, id: string): Promise<ImportRow> {
      await find(tenant, id);
      await database.transaction(async (tx) => {
        const row = await imports.lock(tx, id);
        if (row === undefined || row.state === 'cancelled') return;
        if (row.state !== 'converting')
          throw new AppError(
            'import_not_open',
            `The import ${id} is ${row.state}; there is nothing to cancel.`,
          );
        const error = new AppError('import_cancelled', 'The import was cancelled; upload the files again.');
        await giveUp(tx, row, error, 'cancelled');
      });
      return find(tenant, id);
    },

    /** Asks for the conversion, once for the same upload. @throws AppError `version_conflict` */
    start: (request: ImportRequest, by: Uploader): Promise<ImportRow> =>
      database.transaction(async (tx) => {
        const { id, fields, format, files, contentDigest } = request;
        const model = await models.lockOrCreate(tx, by.tenant, fields.modelId);
        const open = await imports.findOpenByLabel(tx, model.id, fields.version);
        if (open?.contentDigest === contentDigest) return open;
        const there = await versions.findByLabel(tx, model.id, fields.version);
        if (open !== undefined || there !== undefined) throw conflict(fields);
        const row = await imports.insert(tx, {
          id,
          tenant: by.tenant,
          modelId: model.id,
          model: model.name,
          label: fields.version,
          stage: fields.stage,
          format,
          files,
          contentDigest,
          inputSchema: fields.inputSchema ?? null,
          outputSchema: fields.outputSchema ?? null,
          metadata: fields.metadata ?? null,
          createdBy: by.id,
          deadlineAt: new Date(Date.now() + timeoutMs),
        });
        await outbox.append(
          tx,
          ModelImportConversionRequested,
          row.id,
          {
            importId: row.id,
            tenant: by.tenant,
            spec: { ...CONVERSION, requestId: row.id, source: { format, files: [...files] } },
          },
          { tenant: by.tenant },
        );
        return row;
      }),

    /** Waits for the end, up to `waitMs`; undefined when it has not come. Throws what the import failed with. */
    async waitFor(id: string, waitMs: number): Promise<Registered | undefined> {
      for (const end = performance.now() + waitMs; ; await sleep(POLL_MS)) {
        const row = await imports.find(database.db, id);
        if (row === undefined) throw new AppError('import_not_found', `There is no import ${id}.`);
        if (row.state === 'failed' || row.state === 'cancelled') throw appErrorFrom(row.error ?? {});
        const model = await models.findById(database.db, row.modelId);
        const found =
          row.modelVersionId === null ? undefined : await versions.findById(database.db, row.modelVersionId);
        if (found !== undefined && model !== undefined) return { ...found, model, isReused: false };
        if (row.state === 'registered') throw new AppError('version_not_found', 'The version was withdrawn.');
        if (performance.now() > end) return undefined;
      }
    },

    /** The import that a conversion is for; undefined when it is for none, or ended. */
    openOf: (importId: unknown): Promise<ImportRow | undefined> =>
      typeof importId === 'string' ? imports.findOpen(database.db, importId) : Promise.resolve(undefined),

    /** The conversion has a job; if the import was over before, that is no longer wanted. */
    async onJob(tx: Executor, importId: string, jobId: string): Promise<void> {
      const row = await imports.lock(tx, importId);
      if (row === undefined) return;
      await imports.setJob(tx, importId, jobId);
      if (row.state !== 'converting' && row.error !== null) await abandon(tx, row, row.error);
    },

    onStarted: (tx: Executor, importId: string, attempt: number) => imports.setStarted(tx, importId, attempt),

    /** Registers what was converted. A conflict fails the import. */
    async onPrepared(tx: Executor, importId: string, ready: ReadyRegistration): Promise<void> {
      const row = await imports.lockOpen(tx, importId);
      if (row === undefined) return;
      const registered = await registrations.register(tx, ready);
      await imports.setRegistered(tx, importId, registered.version.id);
    },

    async onFailed(tx: Executor, importId: string, error: WireError): Promise<void> {
      const row = await imports.lockOpen(tx, importId);
      if (row !== undefined) await ended(tx, row, error);
    },

    /** Ends the search for late imports. */
    async stop(): Promise<void> {
      clearInterval(timer);
      await sweeping;
    },
  };
}

function lateError({ attempts, createdAt, deadlineAt }: ImportRow): AppError {
  const seconds = Math.round((deadlineAt.getTime() - createdAt.getTime()) / 1_000);
  const where =
    attempts === 0
      ? 'no conversion worker has taken it up; see that one runs'
      : 'its conversion has not ended; see the log of its job, or allow more time';
  return new AppError('import_timeout', `The import was not a version after ${seconds} s: ${where}.`);
}
