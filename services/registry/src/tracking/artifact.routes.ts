import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { FolderEntry } from './artifact.repository.ts';
import type { ArtifactService } from './artifact.service.ts';
import type { RunService } from './run.service.ts';
import { runFields, runIdIn } from './run-fields.ts';

const read = { scope: 'models:read' } as const;
const write = { scope: 'train' } as const;
const PARTS_BYTES_MAX = 4 * 1024 * 1024;
const SCHEME = 'mlflow-artifacts:/';

const Anywhere = Type.Object({ '*': Type.String() });

/** MLflow's artifact proxy: files go through here, or with MLflow 3 in parts to the object store. */
export function artifactRoutes(options: {
  artifacts: ArtifactService;
  runs: RunService;
}): (app: HttpApp) => Promise<void> {
  const { artifacts, runs } = options;
  const base = '/2.0/mlflow-artifacts';
  return async function registerArtifactRoutes(app) {
    await app.register(async (raw) => {
      const scope = raw as unknown as HttpApp;
      // the body is read by the handler as it comes
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.put(`${base}/artifacts/*`, { config: write, schema: { params: Anywhere } }, async (request) => {
        const body = Readable.from(unowned(request.raw), { objectMode: false });
        await artifacts.put(request.principal.tenant, request.params['*'], body);
        return {};
      });
    });

    app.get(
      `${base}/artifacts/*`,
      { config: read, schema: { params: Anywhere } },
      async ({ principal, params }, reply) => {
        const { sizeBytes, body } = await artifacts.open(principal.tenant, params['*']);
        return reply
          .header('content-type', 'application/octet-stream')
          .header('content-disposition', 'attachment')
          .header('content-length', String(sizeBytes))
          .send(body);
      },
    );
    app.get(
      `${base}/artifacts`,
      { config: read, schema: { querystring: Type.Object({ path: Type.String({ default: '' }) }) } },
      async ({ principal, query }) => ({
        files: fileViews(await artifacts.list(principal.tenant, query.path), ''),
      }),
    );
    app.delete(
      `${base}/artifacts/*`,
      { config: write, schema: { params: Anywhere } },
      async ({ principal, params }) => {
        await artifacts.remove(principal.tenant, params['*']);
        return {};
      },
    );
    app.get(
      `${base}/presigned/*`,
      { config: read, schema: { params: Anywhere } },
      async ({ principal, params }) => {
        const { url, sizeBytes } = await artifacts.presign(principal.tenant, params['*']);
        return { url, headers: {}, file_size: sizeBytes };
      },
    );
    app.get(
      '/2.0/mlflow/artifacts/list',
      {
        config: read,
        schema: { querystring: Type.Object({ ...runFields, path: Type.String({ default: '' }) }) },
      },
      async ({ principal, query }) => {
        const { artifactUri } = await runs.find(principal.tenant, runIdIn(query));
        if (!artifactUri.startsWith(SCHEME))
          throw new AppError(
            'invalid_request',
            `The run keeps its artifacts at ${artifactUri}; list them there.`,
          );
        const root = artifactUri.slice(SCHEME.length);
        const path = query.path === '' ? root : `${root}/${query.path}`;
        const files = fileViews(await artifacts.list(principal.tenant, path), query.path);
        return { root_uri: artifactUri, files };
      },
    );
    registerUploads(app, artifacts, base);
  };
}

/** Uploads in parts: the path in the address is the folder, `path` the file on the client's machine. */
function registerUploads(app: HttpApp, artifacts: ArtifactService, base: string): void {
  const fields = { path: Type.String({ minLength: 1 }) };
  const target = (folder: string, file: string): string => {
    const name = posix.basename(file.replaceAll('\\', '/'));
    return folder === '' ? name : `${folder.replace(/\/$/, '')}/${name}`;
  };
  app.post(
    `${base}/mpu/create/*`,
    {
      config: write,
      schema: {
        params: Anywhere,
        body: Type.Object({ ...fields, num_parts: Type.Integer({ minimum: 1, default: 1 }) }),
      },
    },
    async ({ principal, params, body }) => {
      const path = target(params['*'], body.path);
      const { uploadId, parts } = await artifacts.beginUpload(principal.tenant, path, body.num_parts);
      const credentials = parts.map(({ number, url }) => ({ url, part_number: number, headers: {} }));
      return { upload_id: uploadId, credentials };
    },
  );
  app.post(
    `${base}/mpu/complete/*`,
    {
      config: write,
      bodyLimit: PARTS_BYTES_MAX,
      schema: {
        params: Anywhere,
        body: Type.Object({
          ...fields,
          upload_id: Type.String(),
          parts: Type.Array(Type.Object({ part_number: Type.Integer(), etag: Type.String() })),
        }),
      },
    },
    async ({ principal, params, body }) => {
      const parts = body.parts.map(({ part_number: number, etag }) => ({ number, etag }));
      const path = target(params['*'], body.path);
      await artifacts.completeUpload(principal.tenant, path, body.upload_id, parts);
      return {};
    },
  );
  app.post(
    `${base}/mpu/abort/*`,
    {
      config: write,
      schema: { params: Anywhere, body: Type.Object({ ...fields, upload_id: Type.String() }) },
    },
    async ({ principal, params, body }) => {
      await artifacts.abortUpload(principal.tenant, target(params['*'], body.path), body.upload_id);
      return {};
    },
  );
}

function fileViews(entries: readonly FolderEntry[], folder: string) {
  return entries.map(({ name, isFolder, sizeBytes }) => ({
    path: folder === '' ? name : `${folder}/${name}`,
    is_dir: isFolder,
    ...(isFolder ? {} : { file_size: sizeBytes }),
  }));
}

/** The bytes of a request for somebody who may stop half way: its connection, on which the answer goes, stays open. */
async function* unowned(request: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
}
