import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { CollectionService } from './collection.service.ts';

const Amount = Type.Object({ objects: Type.Integer(), sizeBytes: Type.Integer() });
const Report = Type.Object({
  dryRun: Type.Boolean(),
  examined: Type.Integer({ description: 'Blobs that were looked at.' }),
  kept: Type.Integer({ description: 'Of these, what is referred to or young.' }),
  quarantined: Type.Object(Amount.properties, {
    description: 'Taken out of use; a read brings a blob back.',
  }),
  restored: Type.Object(Amount.properties, { description: 'Brought back, because somebody refers to it.' }),
  freed: Type.Object(Amount.properties, { description: 'Deleted for good.' }),
  abandoned: Type.Object(Amount.properties, {
    description: 'Left by processes that ended half way through an upload; deleted.',
  }),
  next: Type.Union([Type.String(), Type.Null()], {
    description: 'Send it as `after` to go on; null at the end.',
  }),
});
const Request = Type.Object(
  {
    dryRun: Type.Optional(Type.Boolean({ description: 'Only says what would be collected.' })),
    after: Type.Optional(Type.String({ pattern: '^(quarantined|stored):([0-9a-f]{2}/[0-9a-f]{64})?$' })),
  },
  { additionalProperties: false },
);

/** `POST /v1/storage/collections`: collects blobs that nobody refers to, a page at a time. */
export function collectionRoutes(options: {
  collections: CollectionService;
}): (app: HttpApp) => Promise<void> {
  return async function registerCollectionRoutes(app) {
    app.post(
      '/v1/storage/collections',
      {
        config: { scope: 'operate' },
        schema: {
          operationId: 'collectStorage',
          tags: ['storage'],
          body: Request,
          response: { 200: Report },
        },
      },
      async ({ body }) =>
        await options.collections.collect({ dryRun: body.dryRun ?? false, after: body.after }),
    );
  };
}
