import { Stage } from '@millrace/contracts';
import { EnsembleSpec } from '@millrace/ensemble';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionService } from '../versions/version.service.ts';
import { toVersionDetail, VersionDetail } from '../versions/version.view.ts';
import type { EnsembleService } from './ensemble.service.ts';

/** A description with labels and parameters; more numbers belong into a model (bytes). */
const BODY_BYTES_MAX = 2 * 1024 * 1024;

const EnsembleBody = Type.Object(
  {
    version: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Label; the next `v<ordinal>` unless given.',
      }),
    ),
    stage: Type.Optional(Stage),
    ...EnsembleSpec.properties,
  },
  { additionalProperties: false },
);

export type EnsembleRoutesOptions = { ensembles: EnsembleService; versions: VersionService };

/** `POST /v1/models/{name}/ensembles`: models and built-in steps as one version; 200 for the same one again. */
export function ensembleRoutes(options: EnsembleRoutesOptions): (app: HttpApp) => Promise<void> {
  return async function registerEnsembleRoutes(app) {
    app.post(
      '/v1/models/:name/ensembles',
      {
        config: { scope: 'models:write' },
        bodyLimit: BODY_BYTES_MAX,
        schema: {
          operationId: 'registerEnsemble',
          tags: ['models'],
          params: Type.Object({ name: Type.String() }),
          body: EnsembleBody,
          response: { 200: VersionDetail, 201: VersionDetail },
        },
      },
      async (request, reply) => {
        const { version, stage = 'development', ...spec } = request.body;
        const by = { ...request.principal, requestId: request.id };
        const asked = { model: request.params.name, version, stage, spec };
        const registered = await options.ensembles.register(asked, by);
        void reply.code(registered.isReused ? 200 : 201);
        return toVersionDetail(await options.versions.findById(registered.version.id));
      },
    );
  };
}
