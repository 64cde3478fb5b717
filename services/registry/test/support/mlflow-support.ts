import { readFileSync } from 'node:fs';

const README = new URL('../../README.md', import.meta.url);
/** A line of the table: where its endpoints lie, each of them, its remark, and the test that calls them. */
const LINE = /^\| `([23]\.0\/[\w/-]+)`: ((?:`[A-Z]+(?: \/[^`]+)?` ?)+)\|.*\| `([\w/-]+)` \|$/gm;
const ENDPOINT = /`([A-Z]+)(?: (\/[^`]+))?`/g;
/** A route that was answered well, as the metrics tell it. */
const ANSWERED = /^millrace_registry_http_request_seconds_count\{([^}]*)\}/gm;

/** An endpoint such as `POST /api/2.0/mlflow/runs/create`, and the test that proves it, such as `tracking/clients`. */
export type SupportedEndpoint = { readonly endpoint: string; readonly test: string };

/** What the README says of MLflow's endpoints. */
export function mlflowSupport(): SupportedEndpoint[] {
  return [...readFileSync(README, 'utf8').matchAll(LINE)].flatMap(
    ([, base = '', endpoints = '', test = '']) =>
      [...endpoints.matchAll(ENDPOINT)].map(([, method, path = '']) => ({
        endpoint: `${method} /api/${base}${path}`,
        test,
      })),
  );
}

/** Endpoints that the README says a test calls and that the registry has not answered well since its start. */
export async function unprovenEndpoints(origin: string, test: string): Promise<string[]> {
  const text = await (await fetch(`${origin}/metrics`)).text();
  const answered = new Set(
    [...text.matchAll(ANSWERED)].flatMap(([, labels = '']) => {
      const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1];
      return label('status')?.startsWith('2') === true ? [`${label('method')} ${label('route')}`] : [];
    }),
  );
  const claimed = mlflowSupport().filter((line) => line.test === test);
  if (claimed.length === 0) throw new Error(`The README names no endpoint that ${test} proves.`);
  return claimed.map(({ endpoint }) => endpoint).filter((endpoint) => !answered.has(endpoint));
}
