import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { tagsOf } from './registered-model.routes.ts';
import type { RegistryService } from './registry.service.ts';
import { stageOf } from './registry.view.ts';

const read = { scope: 'models:read' } as const;
const write = { scope: 'models:write' } as const;
const base = '/2.0/mlflow/model-versions';
/** MLflow's clients ask for up to so many; a page has no more than the second and says how to go on. */
const ASKED_MAX = 200_000;
const PAGE_MAX = 10_000;
const TEXT_LENGTH_MAX = 5_000;

const text = Type.String({ maxLength: TEXT_LENGTH_MAX, default: '' });
const Tag = Type.Object({ key: Type.String({ minLength: 1 }), value: Type.String({ default: '' }) });
const One = Type.Object({ name: Type.String(), version: Type.String() });
const Search = Type.Object({
  filter: Type.Optional(Type.String()),
  order_by: Type.Array(Type.String(), { default: [] }),
  max_results: Type.Integer({ minimum: 1, maximum: ASKED_MAX, default: PAGE_MAX }),
  page_token: Type.Optional(Type.String()),
});

/** MLflow's model versions. */
export function modelVersionRoutes(registry: RegistryService): (app: HttpApp) => Promise<void> {
  return async function registerModelVersionRoutes(app) {
    app.post(
      `${base}/create`,
      {
        config: write,
        schema: {
          body: Type.Object({
            name: Type.String(),
            source: Type.String({ minLength: 1, maxLength: TEXT_LENGTH_MAX }),
            run_id: text,
            run_link: text,
            model_id: text,
            description: Type.String({ default: '' }),
            tags: Type.Array(Tag, { default: [] }),
          }),
        },
      },
      async ({ principal, body }) => {
        const { name, source, description, tags } = body;
        const asked = {
          source,
          runId: body.run_id,
          runLink: body.run_link,
          loggedModelId: body.model_id,
          description,
          tags: tagsOf(tags),
        };
        return { model_version: await registry.createVersion(principal.tenant, name, asked, principal.id) };
      },
    );
    app.get(`${base}/get`, { config: read, schema: { querystring: One } }, async ({ principal, query }) => ({
      model_version: await registry.view(principal.tenant, query.name, query.version),
    }));
    app.patch(
      `${base}/update`,
      {
        config: write,
        schema: { body: Type.Object({ ...One.properties, description: Type.String({ default: '' }) }) },
      },
      async ({ principal, body: { name, version, description } }) => ({
        model_version: await registry.updateVersion(
          principal.tenant,
          name,
          version,
          { description },
          principal.id,
        ),
      }),
    );
    app.delete(`${base}/delete`, { config: write, schema: { body: One } }, async ({ principal, body }) => {
      await registry.removeVersion(principal.tenant, body.name, body.version, principal.id);
      return {};
    });
    const search = (tenant: string, fields: Type.Static<typeof Search>) =>
      registry.searchVersions(tenant, {
        filter: fields.filter,
        orderBy: fields.order_by,
        maxResults: Math.min(fields.max_results, PAGE_MAX),
        pageToken: fields.page_token,
      });
    app.get(`${base}/search`, { config: read, schema: { querystring: Search } }, ({ principal, query }) =>
      search(principal.tenant, query),
    );
    app.post(
      `${base}/set-tag`,
      { config: write, schema: { body: Type.Object({ ...One.properties, ...Tag.properties }) } },
      async ({ principal, body: { name, version, key, value } }) => {
        await registry.updateVersion(
          principal.tenant,
          name,
          version,
          { tags: { [key]: value } },
          principal.id,
        );
        return {};
      },
    );
    app.delete(
      `${base}/delete-tag`,
      { config: write, schema: { body: Type.Object({ ...One.properties, key: Type.String() }) } },
      async ({ principal, body: { name, version, key } }) => {
        await registry.updateVersion(
          principal.tenant,
          name,
          version,
          { tags: { [key]: null } },
          principal.id,
        );
        return {};
      },
    );
    app.post(
      `${base}/transition-stage`,
      {
        config: write,
        schema: {
          body: Type.Object({
            ...One.properties,
            stage: Type.String(),
            archive_existing_versions: Type.Boolean({ default: false }),
          }),
        },
      },
      async ({ principal, body: { name, version, ...to } }) => ({
        model_version: await registry.transition(
          principal.tenant,
          name,
          version,
          { stage: stageOf(to.stage), archiveOthers: to.archive_existing_versions },
          principal.id,
        ),
      }),
    );
    app.get(
      `${base}/get-download-uri`,
      { config: read, schema: { querystring: One } },
      async ({ principal, query }) => ({
        artifact_uri: await registry.downloadUri(principal.tenant, query.name, query.version),
      }),
    );
  };
}
