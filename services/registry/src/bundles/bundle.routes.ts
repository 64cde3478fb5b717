import { ArtifactRef, JsonObject, Sha256 } from '@millrace/contracts';
import type { SignatureBundle } from '@millrace/integrity';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionService } from '../versions/version.service.ts';
import type { BundleService } from './bundle.service.ts';

const BundleParts = Type.Object({
  model: Type.String(),
  version: Type.String(),
  packageDigest: Sha256,
  manifest: Type.Object({ files: Type.Array(ArtifactRef) }),
  signature: JsonObject,
  publicKeyPem: Type.String({
    description: 'What the registry signs with now, and its certificates; pin it, do not trust it from here.',
  }),
  attestations: Type.Array(
    Type.Object({
      name: Type.Union([Type.Literal('provenance'), Type.Literal('meta'), Type.Literal('conversion')]),
      predicateType: Type.String(),
      bundle: JsonObject,
    }),
  ),
  identity: Type.Union([JsonObject, Type.Null()], {
    description: 'The signed statement of which version this is; null for one of a release that signed none.',
  }),
  history: Type.Object(
    {
      rows: Type.Array(Type.Object({ entry: JsonObject, prevHash: Sha256, hash: Sha256 })),
      statement: JsonObject,
    },
    { description: 'Rows from the registration of the version on, and the signed statement about them.' },
  ),
  files: Type.Array(Type.Object({ ...ArtifactRef.properties, url: Type.String() })),
});

/** What lets anybody verify a version without the platform, and take it along. */
export function bundleRoutes(options: {
  versions: VersionService;
  bundles: BundleService;
}): (app: HttpApp) => Promise<void> {
  const { versions, bundles } = options;
  return async function registerBundleRoutes(app) {
    app.get(
      '/v1/models/:name/versions/:version/bundle-parts',
      {
        config: { scope: 'models:read' },
        schema: {
          operationId: 'getBundleParts',
          tags: ['models'],
          params: Type.Object({ name: Type.String(), version: Type.String() }),
          response: { 200: BundleParts },
        },
      },
      async ({ principal, params }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        const { signature, attestations, identity, history, ...parts } = await bundles.parts(found);
        return {
          ...parts,
          signature: toJson(signature),
          attestations: attestations.map(({ name, predicateType, bundle }) => ({
            name,
            predicateType,
            bundle: toJson(bundle),
          })),
          identity: identity === null ? null : toJson(identity),
          history: {
            rows: history.rows.map(({ entry, prevHash, hash }) => ({ entry: { ...entry }, prevHash, hash })),
            statement: toJson(history.statement),
          },
        };
      },
    );
  };
}

const toJson = (bundle: SignatureBundle): Record<string, unknown> => ({ ...bundle });
