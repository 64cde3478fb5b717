import type { HttpApp } from '@millrace/service-kit';

/** What MLflow 3's clients ask before they choose how to send files: through here unless they are told otherwise. */
const SERVER_INFO = {
  store_type: 'SqlStore',
  workspaces_enabled: false,
  trace_archival_enabled: false,
  multipart_uploads_enabled: false,
  multipart_downloads_enabled: false,
} as const;

/** What this server can do. */
export function serverRoutes(): (app: HttpApp) => Promise<void> {
  return async function registerServerRoutes(app) {
    app.get('/3.0/mlflow/server-info', { config: { public: true } }, async () => SERVER_INFO);
  };
}
