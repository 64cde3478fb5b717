import { IngestOptions, IngestSource, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { DatasetVersionView, toVersionView } from '../datasets/dataset.view.ts';
import type { IngestService } from './ingest.service.ts';
import { presets } from './presets.ts';

const tags = ['datasets'];

export type IngestRoutesOptions = { ingestions: IngestService };

/** Start an ingestion, and list the presets there are. */
export function ingestRoutes({ ingestions }: IngestRoutesOptions): (app: HttpApp) => Promise<void> {
  return async function registerIngestRoutes(app) {
    app.post(
      '/v1/datasets/:datasetId/ingest',
      {
        config: { scope: 'data:write' },
        schema: {
          operationId: 'ingestDatasetVersion',
          tags,
          params: Type.Object({ datasetId: Uuid }),
          body: Type.Object(
            {
              source: Type.Optional(IngestSource),
              preset: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
              options: Type.Optional(IngestOptions),
            },
            { additionalProperties: false },
          ),
          response: { 200: DatasetVersionView, 202: DatasetVersionView },
        },
      },
      async (request, reply) => {
        const { tenant } = request.principal;
        const made = await ingestions.start(tenant, request.params.datasetId, request.body);
        return reply.code(made.isReused ? 200 : 202).send(toVersionView(made.version));
      },
    );

    app.get(
      '/v1/datasets/presets',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'listDatasetPresets',
          tags,
          response: {
            200: Type.Object({
              items: Type.Array(
                Type.Object({
                  name: Type.String(),
                  doc: Type.String(),
                  source: IngestSource,
                  options: IngestOptions,
                }),
              ),
            }),
          },
        },
      },
      async () => ({ items: Object.entries(presets).map(([name, preset]) => ({ name, ...preset })) }),
    );
  };
}
