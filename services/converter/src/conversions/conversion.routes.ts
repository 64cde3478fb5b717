import { ArtifactRef, ConvertSpec, JobView, Uuid } from '@millrace/contracts';
import type { JobService } from '@millrace/jobs';
import type { HttpApp, Principal } from '@millrace/service-kit';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import Type from 'typebox';
import { assertStored, conversionSpec, filesOf, SOURCE_FILES_MAX } from './conversion.service.ts';

const IDEMPOTENCY_KEY_MAX = 255;

const ConversionBody = Type.Object(
  {
    source: Type.Object(
      {
        trainingJobId: Type.Optional(Uuid),
        format: ConvertSpec.properties.source.properties.format,
        files: Type.Array(ArtifactRef, { minItems: 1, maxItems: SOURCE_FILES_MAX }),
      },
      { additionalProperties: false },
    ),
    opset: Type.Optional(ConvertSpec.properties.opset),
    tag: Type.Optional(ConvertSpec.properties.tag),
    signature: Type.Optional(ConvertSpec.properties.signature),
    tolerance: Type.Optional(ConvertSpec.properties.tolerance),
    graph: ConvertSpec.properties.graph,
    quantization: ConvertSpec.properties.quantization,
  },
  { additionalProperties: false },
);

export type ConversionRoutesOptions = {
  jobs: JobService;
  hasBlob: (sha256: string) => Promise<boolean>;
  /** Throws `file_not_owned` for a file that no service keeps for the tenant. */
  assertOwned: (tenant: string, sha256s: readonly string[]) => Promise<void>;
  /** A URL from which anybody can read the blob for some minutes. */
  presignGet: (sha256: string) => Promise<string>;
};

/** Who runs the platform reads its storage anyway. */
function mayReadAll({ tenant, scopes }: Principal): boolean {
  return tenant === PLATFORM_TENANT && (scopes.includes('operate') || scopes.includes('admin'));
}

/** Queues a conversion of files that storage already has, and gives what it made. */
export function conversionRoutes(options: ConversionRoutesOptions): (app: HttpApp) => Promise<void> {
  const { jobs } = options;
  return async function registerConversionRoutes(app) {
    app.post(
      '/v1/conversions',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'createConversion',
          tags: ['jobs'],
          headers: Type.Object({
            'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: IDEMPOTENCY_KEY_MAX })),
          }),
          body: ConversionBody,
          response: { 202: JobView },
        },
      },
      async (request, reply) => {
        const spec = conversionSpec(request.body);
        const files = filesOf(spec);
        if (!mayReadAll(request.principal))
          await options.assertOwned(
            request.principal.tenant,
            files.map(({ sha256 }) => sha256),
          );
        await assertStored(files, options.hasBlob);
        const key = request.headers['idempotency-key'];
        const { job } = await jobs.submit({
          spec,
          pool: 'cpu',
          tenant: request.principal.tenant,
          ...(key === undefined ? {} : { idempotencyKey: key }),
        });
        return reply
          .code(202)
          .header('location', `/v1/conversions/${job.id}`)
          .send(await jobs.view(job));
      },
    );

    app.get(
      '/v1/conversions/:jobId/files',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'listConversionFiles',
          tags: ['jobs'],
          params: Type.Object({ jobId: Uuid }),
          response: {
            200: Type.Object({
              items: Type.Array(Type.Object({ ...ArtifactRef.properties, url: Type.String() })),
            }),
          },
        },
      },
      async ({ principal, params }) => {
        const job = await jobs.get(params.jobId, principal.tenant);
        const files = job.result?.files ?? [];
        return {
          items: await Promise.all(
            files.map(async (file) => ({ ...file, url: await options.presignGet(file.sha256) })),
          ),
        };
      },
    );
  };
}
