import { AppError, Sha256, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { readUploadForm } from '../uploads/multipart.ts';
import type { BundleImportService } from './bundle-import.service.ts';

/** Largest bundle: what an upload in parts may have. */
const BUNDLE_BYTES_MAX = 16 * 1024 ** 3;
/** Room for the keys and the multipart frame beside it. */
const FORM_BYTES_MAX = 2 * 1024 * 1024;
const FIELDS: ReadonlySet<string> = new Set(['trust', 'allowMissingIdentity']);

const BundleImportReply = Type.Object({
  model: Type.String(),
  version: Type.String(),
  modelVersionId: Uuid,
  packageDigest: Sha256,
});

/** `PUT /v1/models/{name}/versions/{version}/bundle`: a version that another registry signed and exported. */
export function bundleImportRoutes(options: {
  bundleImports: BundleImportService;
}): (app: HttpApp) => Promise<void> {
  return async function registerBundleImportRoutes(app) {
    await app.register(async (scope: HttpApp) => {
      // the body is a stream that the route reads; Fastify must not touch it
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.put(
        '/v1/models/:name/versions/:version/bundle',
        {
          config: { scope: 'models:write' },
          bodyLimit: BUNDLE_BYTES_MAX + FORM_BYTES_MAX,
          schema: {
            operationId: 'importBundle',
            tags: ['models'],
            consumes: ['multipart/form-data'],
            params: Type.Object({ name: Type.String(), version: Type.String() }),
            response: { 200: BundleImportReply, 201: BundleImportReply },
          } as never,
        },
        async (request, reply) => {
          const form = await readUploadForm(request.raw, FIELDS, {
            filesBytesMax: BUNDLE_BYTES_MAX,
            filesMax: 1,
          });
          try {
            const { name, version } = request.params as { name: string; version: string };
            const trustedPem = form.fields.get('trust');
            const [part] = form.parts;
            if (trustedPem === undefined || part === undefined)
              throw new AppError(
                'invalid_request',
                'The form needs trust (PEM of public keys) and the bundle as file.',
              );
            const by = { ...request.principal, requestId: request.id };
            const {
              version: row,
              model,
              isReused,
            } = await options.bundleImports.import(
              { model: name, version, trustedPem, isIdentityOptional: allows(form.fields) },
              part.file,
              by,
            );
            return await reply.code(isReused ? 200 : 201).send({
              model: model.name,
              version: row.label,
              modelVersionId: row.id,
              packageDigest: row.packageDigest,
            } as never);
          } finally {
            await form.area.dispose();
          }
        },
      );
    });
  };
}

/** Whether a bundle of a release that signed no names will do. @throws AppError `invalid_request` */
function allows(fields: ReadonlyMap<string, string>): boolean {
  const value = fields.get('allowMissingIdentity') ?? 'false';
  if (value === 'true' || value === 'false') return value === 'true';
  throw new AppError('invalid_request', 'allowMissingIdentity is true or false.');
}
