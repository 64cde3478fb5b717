import { Timestamp } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { IssuerKeys } from './issuer-keys.ts';

const IssuerView = Type.Object({
  name: Type.String(),
  issuer: Type.String(),
  audiences: Type.Array(Type.String()),
  algorithms: Type.Array(Type.String()),
  keys: Type.Array(Type.Object({ kid: Type.String(), kty: Type.String() }), {
    description: 'Keys that tokens are accepted of now.',
  }),
  fetchedAt: Type.Union([Timestamp, Type.Null()]),
  fault: Type.Union([Type.String(), Type.Null()], {
    description: 'Why the last fetch of its keys failed; the keys that are held stay in use.',
  }),
});

/** The identity providers whose tokens are accepted, and how it stands with their keys. */
export function issuerRoutes(deps: { issuerKeys: IssuerKeys }): (app: HttpApp) => Promise<void> {
  return async function registerIssuerRoutes(app) {
    app.get(
      '/v1/identity-providers',
      {
        config: { scope: 'operate' },
        schema: {
          operationId: 'listIdentityProviders',
          tags: ['principals'],
          response: { 200: Type.Object({ items: Type.Array(IssuerView) }) },
        },
      },
      async () => ({
        items: deps.issuerKeys.states().map(({ issuer, keys, fetchedAt, fault }) => ({
          name: issuer.name,
          issuer: issuer.issuer,
          audiences: [...issuer.audiences],
          algorithms: [...issuer.algorithms],
          keys: keys.map(({ kid, kty }) => ({ kid, kty })),
          fetchedAt: fetchedAt?.toISOString() ?? null,
          fault,
        })),
      }),
    );
  };
}
