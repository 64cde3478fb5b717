import { AppError } from '@millrace/contracts';
import { defaultOnnxLimits } from '@millrace/onnx';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
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

/** `POST /model/upload`: a model as multipart/form-data; 201 for a new version, 200 for the same bytes again. */
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
            response: { 200: UploadReply, 201: UploadReply },
          } as never,
        },
        async (request, reply) => {
          assertSize(request.headers['content-length'], fileBytesMax);
          // whatever is refused half way leaves bytes on the connection that nobody reads
          void reply.header('connection', 'close');
          const form = await readUploadForm(request.raw, uploadFields, fileBytesMax);
          try {
            const fields = readUploadFields(form.fields);
            const by = { ...request.principal, requestId: request.id };
            const { model, version, isReused } = await options.uploads.upload(fields, form.file, by);
            void reply.removeHeader('connection');
            return await reply.code(isReused ? 200 : 201).send({
              success: true,
              modelId: model.name,
              version: version.label,
              uploadedAt: version.createdAt.getTime(),
            } as never);
          } finally {
            await form.file.dispose();
          }
        },
      );
    });
  };
}

function assertSize(contentLength: string | undefined, fileBytesMax: number): void {
  const limitBytes = fileBytesMax + FORM_BYTES_MAX;
  if (contentLength === undefined || Number(contentLength) <= limitBytes) return;
  throw new AppError('payload_too_large', `The form is over the bound of ${limitBytes} bytes.`, {
    details: { limitBytes },
  });
}
