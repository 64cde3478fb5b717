import { AppError, Uuid } from '@millrace/contracts';
import { defaultOnnxLimits } from '@millrace/onnx';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { archiveLimits } from './archive/archive-files.ts';
import { readUploadForm } from './multipart.ts';
import type { UploadService } from './upload.service.ts';
import { readUploadFields, uploadFields } from './upload-fields.ts';

/** Room for the text fields and the multipart frame beside the file. */
const FORM_BYTES_MAX = 2 * 1024 * 1024;

const UploadReply = Type.Object({
  success: Type.Literal(true),
  modelId: Type.String(),
  version: Type.String(),
  uploadedAt: Type.Integer({ description: 'Unix time in ms.' }),
});

/** A conversion that is under way: `Location` says where it stands. */
const ImportReply = Type.Object({
  success: Type.Literal(true),
  modelId: Type.String(),
  version: Type.String(),
  uploadedAt: Type.Integer({ description: 'Unix time in ms.' }),
  importId: Uuid,
});

/**
 * `POST /model/upload`: a model as multipart/form-data; 201 for a new version, 200 for the same bytes again, 202 with
 * the address of the import when it is converted and that takes longer, or the caller prefers `respond-async`.
 */
export function uploadRoutes(options: { uploads: UploadService }): (app: HttpApp) => Promise<void> {
  const fileBytesMax = defaultOnnxLimits.modelBytesMax;
  return async function registerUploadRoutes(app) {
    await app.register(async (scope: HttpApp) => {
      // the body is a stream that the route reads; Fastify must not touch it
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.post(
        '/model/upload',
        {
          config: { scope: 'models:write' },
          bodyLimit: fileBytesMax + FORM_BYTES_MAX,
          schema: {
            operationId: 'uploadModel',
            tags: ['models'],
            consumes: ['multipart/form-data'],
            response: { 200: UploadReply, 201: UploadReply, 202: ImportReply },
          } as never,
        },
        async (request, reply) => {
          assertSize(request.headers['content-length'], fileBytesMax);
          const limits = { filesBytesMax: fileBytesMax, filesMax: archiveLimits.filesMax };
          const form = await readUploadForm(request.raw, uploadFields, limits);
          try {
            const fields = readUploadFields(form.fields);
            const by = { ...request.principal, requestId: request.id };
            const isAsync = prefersAsync(request.headers.prefer);
            const outcome = await options.uploads.upload(fields, form, by, isAsync);
            if (isAsync) void reply.header('preference-applied', 'respond-async');
            if ('importing' in outcome) {
              const { id, model: modelId, label: version, createdAt } = outcome.importing;
              void reply.code(202).header('location', `/v1/imports/${id}`);
              const uploadedAt = createdAt.getTime();
              return await reply.send({ success: true, modelId, version, uploadedAt, importId: id } as never);
            }
            const { model, version, isReused } = outcome.registered;
            return await reply.code(isReused ? 200 : 201).send({
              success: true,
              modelId: model.name,
              version: version.label,
              uploadedAt: version.createdAt.getTime(),
            } as never);
          } finally {
            await form.area.dispose();
          }
        },
      );
    });
  };
}

/** RFC 7240: the caller does not want to wait. */
export function prefersAsync(prefer: string | string[] | undefined): boolean {
  return [prefer ?? []].flat().some((text) => /(^|,)\s*respond-async\s*(;|,|$)/i.test(text));
}

function assertSize(contentLength: string | undefined, fileBytesMax: number): void {
  const limitBytes = fileBytesMax + FORM_BYTES_MAX;
  if (contentLength === undefined || Number(contentLength) <= limitBytes) return;
  throw new AppError('payload_too_large', `The form is over the bound of ${limitBytes} bytes.`, {
    details: { limitBytes },
  });
}
