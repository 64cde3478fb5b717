import { AppError, Name, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { defaultOnnxLimits } from '@millrace/onnx';
import type { HttpApp } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import Type from 'typebox';
import { assertNames } from '../registration/labels.ts';
import type { RegistrationService } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { readUploadForm } from './multipart.ts';
import { prepareTflite, readTflite } from './prepare-tflite.ts';

/** Room for the text fields and the multipart frame beside the files. */
const FORM_BYTES_MAX = 2 * 1024 * 1024;
const FIELDS: ReadonlySet<string> = new Set(['modelId', 'version']);
/** What clients call the parts; which is which is told by their bytes. */
const PARTS: ReadonlySet<string> = new Set(['file', 'model', 'meta']);

export type DatasetModelOptions = {
  database: Database;
  storage: Storage;
  key: SigningKey;
  registrations: RegistrationService;
  /** The dataset of a tenant by id or name; throws `dataset_not_found`. */
  findDataset: (tenant: string, dataset: string) => Promise<{ datasetId: string; name: string }>;
};

/**
 * `POST /datasets/{id}/models`: a model for devices that was trained elsewhere on a dataset, as model.tflite and
 * meta.json. Without `modelId` it is a version of the model that has the dataset's name; without `version` the next one,
 * or the one there is of the same bytes.
 */
export function datasetModelRoutes(options: {
  datasetModels: DatasetModelOptions;
}): (app: HttpApp) => Promise<void> {
  const { database, registrations, findDataset } = options.datasetModels;
  const filesBytesMax = defaultOnnxLimits.modelBytesMax;
  const reply = Type.Object({
    success: Type.Literal(true),
    modelId: Type.String(),
    version: Type.String(),
    datasetId: Uuid,
    isServable: Type.Literal(false),
    uploadedAt: Type.Integer({ description: 'Unix time in ms.' }),
  });

  return async function registerDatasetModelRoutes(app) {
    await app.register(async (scope: HttpApp) => {
      // the body is a stream that the route reads; Fastify must not touch it
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.post(
        '/datasets/:datasetId/models',
        {
          config: { scope: 'models:write' },
          bodyLimit: filesBytesMax + FORM_BYTES_MAX,
          schema: {
            operationId: 'uploadDatasetModel',
            tags: ['models'],
            consumes: ['multipart/form-data'],
            params: Type.Object({ datasetId: Name }),
            response: { 200: reply, 201: reply },
          },
        },
        async (request, answer) => {
          const by = { ...request.principal, requestId: request.id };
          const dataset = await findDataset(by.tenant, request.params.datasetId);
          const form = await readUploadForm(request.raw, FIELDS, { filesBytesMax, filesMax: 2 }, PARTS);
          try {
            const model = form.fields.get('modelId') ?? dataset.name;
            const label = form.fields.get('version');
            assertNames(model, label ?? 'v1');
            const upload = await readTflite(form.parts);
            assertSameDataset(upload.meta, [dataset.datasetId, dataset.name, request.params.datasetId]);
            const ready = await prepareTflite(options.datasetModels, upload, { model, label, dataset }, by);
            const made = await database.transaction((tx) => registrations.register(tx, ready));
            return await answer.code(made.isReused ? 200 : 201).send({
              success: true,
              modelId: made.model.name,
              version: made.version.label,
              datasetId: dataset.datasetId,
              isServable: false,
              uploadedAt: made.version.createdAt.getTime(),
            });
          } finally {
            await form.area.dispose();
          }
        },
      );
    });
  };
}

/** A model of other data must not be told as one of these. */
function assertSameDataset(meta: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const { dataset } = meta as { dataset?: { id?: unknown } | null };
  const id = dataset?.id;
  if (id === undefined || (typeof id === 'string' && names.includes(id))) return;
  const shown = JSON.stringify(id)?.slice(0, 100);
  throw new AppError('invalid_request', `meta.json says that the model was trained on dataset ${shown}.`);
}
