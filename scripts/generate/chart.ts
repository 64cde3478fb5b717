import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureEnvironment, environmentsRoot, REPOSITORY_ROOT } from '@millrace/embedded';
import { parse, parseAllDocuments } from 'yaml';

/** Folder of the Helm chart. */
export const CHART = join(REPOSITORY_ROOT, 'deploy', 'helm', 'millrace');
/** Release and namespace that everything is rendered with. */
export const RELEASE = 'millrace';
/** Environments that have a file of values, and an overlay of kustomize. */
export const DEPLOYMENTS = ['dev', 'staging', 'production'] as const;
export type Deployment = (typeof DEPLOYMENTS)[number];

const PROGRAM = join(REPOSITORY_ROOT, 'scripts', 'generate', 'render_chart.py');
/** Twenty renderings take a second; the rest is for a busy machine. */
const TIMEOUT_MS = 120_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Values = Record<string, unknown>;

/** An object of Kubernetes, as far as all have the same shape. */
export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
} & Record<string, unknown>;

/** What Helm says of a chart that it read. */
export type LintReport = { messages: { severity: number; path: string; error: string }[] };

type Rendered = Record<string, string> | { error: string };

/** Values of one environment, as its file has them. */
export function valuesOf(deployment: Deployment): Values {
  return parse(readFileSync(join(CHART, `values-${deployment}.yaml`), 'utf8')) as Values;
}

/** Asks Helm's engine, in a Python environment of its own that the first use makes. */
async function askHelm<T>(requests: readonly object[]): Promise<T[]> {
  const { python } = await ensureEnvironment('kubernetes', environmentsRoot(process.env), process.env);
  const answer = await new Promise<string>((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
    const child = execFile(python, [PROGRAM, CHART], options, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`Helm: ${stderr}`, { cause: error })),
    );
    child.stdin?.end(JSON.stringify(requests));
  });
  return JSON.parse(answer) as T[];
}

/** The objects of the chart for each set of values, hooks among them. Throws with Helm's words when it refuses one. */
export async function renderChart(sets: readonly Values[]): Promise<KubeObject[][]> {
  const rendered = await tryRender(sets);
  return rendered.map((one) => {
    if ('error' in one) throw new Error(String(one.error));
    return objectsOf(one);
  });
}

/** What Helm answers to each set of values: texts by template, or why it refuses. */
export function tryRender(sets: readonly Values[]): Promise<Rendered[]> {
  return askHelm<Rendered>(sets.map((values) => ({ name: RELEASE, namespace: RELEASE, values })));
}

/** Helm's own findings about the chart. */
export async function lintChart(): Promise<LintReport> {
  const [report] = await askHelm<LintReport>([{ lint: true }]);
  if (report === undefined) throw new Error('Helm gave no report');
  return report;
}

/** The objects in rendered templates, by template and in their order there. */
function objectsOf(rendered: Record<string, string>): KubeObject[] {
  const templates = Object.keys(rendered).filter((path) => path.endsWith('.yaml'));
  return templates.sort().flatMap((path) =>
    parseAllDocuments(rendered[path] ?? '').flatMap((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw new Error(`${path}: ${error.message}`);
      const object = document.toJS() as KubeObject | null;
      return object === null ? [] : [object];
    }),
  );
}

/** What an object is known by within a namespace. */
export function identityOf({ apiVersion, kind, metadata }: KubeObject): string {
  const group = apiVersion.includes('/') ? `${apiVersion.split('/')[0]}/` : '';
  return `${group}${kind}/${metadata.name}`;
}
