import { globSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { REPOSITORY_ROOT, SERVICE_NAMES } from '@millrace/embedded';
import { createMetrics } from '@millrace/service-kit';
import { parseSync } from '@swc/core';

/** A metric as a service registers it. */
export type MetricEntry = {
  /** Whole name, as `/metrics` has it. */
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  labels: readonly string[];
  /** The service that has it, or `every service`. */
  service: string;
};

/** Histograms are kept in two ways; Prometheus sees one. */
const TYPES: Record<string, MetricEntry['type']> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  series: 'histogram',
};
/** Names of Triton, which a variable of inference turns on; they are Triton's own list. */
const FOREIGN = 'services/inference/src/server/triton-metrics.ts';
const EVERY = 'every service';

type Node = { type: string } & Record<string, unknown>;

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

/** All metrics that services register, read from their sources; and those of the process, asked of the library. */
export async function metricCatalog(): Promise<MetricEntry[]> {
  const files = globSync(['services/*/src/**/*.ts', 'libs/service-kit/src/**/*.ts'], {
    cwd: REPOSITORY_ROOT,
  });
  const own = files
    .map((file) => file.split(sep).join('/'))
    .filter((file) => file !== FOREIGN)
    .sort()
    .flatMap(metricsIn);
  return [...own, ...(await processMetrics())].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function processMetrics(): Promise<MetricEntry[]> {
  const { registry } = createMetrics({ service: 'any' });
  const found = await registry.getMetricsAsJSON();
  const entries = found.map(({ name, help, type }) => ({
    name,
    type: String(type) as MetricEntry['type'],
    help,
    labels: (registry.getSingleMetric(name) as unknown as { labelNames?: string[] }).labelNames ?? [],
    service: EVERY,
  }));
  registry.clear();
  return entries;
}

function metricsIn(file: string): MetricEntry[] {
  const module = parseSync(readFileSync(join(REPOSITORY_ROOT, file), 'utf8'), {
    syntax: 'typescript',
    target: 'es2022',
  }) as unknown as Node;
  const calls: { kind: string; options: Node }[] = [];
  visit(module, (node) => {
    const call = metricCall(node);
    if (call !== undefined) calls.push(call);
  });
  const owner = /^services\/([^/]+)\//.exec(file)?.[1];
  const services = owner === undefined ? SERVICE_NAMES : [owner];
  return calls.flatMap(({ kind, options }) => {
    const name = textOf(propertyOf(options, 'name'));
    if (name === undefined) throw new Error(`${file}: a metric whose name is no literal text`);
    const entry = {
      type: TYPES[kind] as MetricEntry['type'],
      help: textOf(propertyOf(options, 'help')) ?? '',
      labels: labelsOf(propertyOf(options, 'labels'), module),
    };
    return services.map((service) => ({
      ...entry,
      name: `millrace_${service.replaceAll('-', '_')}_${name}`,
      service,
    }));
  });
}

/** `metrics.counter({…})` or `deps.metrics.counter({…})`; the library's own definition of `counter` is none. */
function metricCall(node: Node): { kind: string; options: Node } | undefined {
  if (node.type !== 'CallExpression' || !isNode(node.callee) || node.callee.type !== 'MemberExpression')
    return;
  const kind = nameOf(node.callee.property);
  const object = node.callee.object;
  const owner = isNode(object) && object.type === 'MemberExpression' ? object.property : object;
  if (kind === undefined || !(kind in TYPES) || nameOf(owner) !== 'metrics') return;
  const [first] = node.arguments as { expression: Node }[];
  if (first?.expression.type !== 'ObjectExpression') return;
  return { kind, options: first.expression };
}

function visit(value: unknown, see: (node: Node) => void): void {
  if (Array.isArray(value)) for (const item of value) visit(item, see);
  else if (typeof value === 'object' && value !== null) {
    if (isNode(value)) see(value);
    for (const child of Object.values(value)) visit(child, see);
  }
}

const nameOf = (node: unknown): string | undefined =>
  isNode(node) && node.type === 'Identifier' ? String(node.value) : undefined;

function propertyOf(object: Node, name: string): Node | undefined {
  for (const property of object.properties as Node[])
    if (property.type === 'KeyValueProperty' && nameOf(property.key) === name) return property.value as Node;
  return undefined;
}

const textOf = (node: Node | undefined): string | undefined =>
  node?.type === 'StringLiteral' ? String(node.value) : undefined;

/** Label names of a list, of a constant of the file, or of both put together. */
function labelsOf(node: Node | undefined, module: Node): string[] {
  if (node === undefined) return [];
  if (node.type === 'TsConstAssertion') return labelsOf(node.expression as Node, module);
  if (node.type === 'Identifier') return labelsOf(constantOf(module, String(node.value)), module);
  if (node.type !== 'ArrayExpression') throw new Error(`labels that are a ${node.type}`);
  return (node.elements as { spread: unknown; expression: Node }[]).flatMap(({ spread, expression }) =>
    spread ? labelsOf(expression, module) : [textOf(expression) ?? ''],
  );
}

function constantOf(module: Node, name: string): Node | undefined {
  let found: Node | undefined;
  visit(module, (node) => {
    if (node.type === 'VariableDeclarator' && nameOf(node.id) === name) found = node.init as Node;
  });
  return found;
}

/** The page of all metrics. */
export function metricsPage(catalog: readonly MetricEntry[]): string {
  const escaped = (text: string): string => text.replaceAll('|', '\\|');
  const rows = catalog.map(
    ({ name, type, labels, help }) =>
      `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${escaped(help)} |`,
  );
  return `${PAGE_HEAD}${rows.join('\n')}\n`;
}

const PAGE_HEAD = `# Metrics
Generated by \`npm run generate\` from the code that registers them. Every service answers \`/metrics\` to an API key with
the scope \`operate\`; every series has the label \`service\` beside those named here. Histograms have \`_bucket\`, \`_sum\`
and \`_count\`. With \`MILLRACE_TRITON_METRICS\` inference has the \`nv_inference_*\` series of Triton as well.

| name | type | labels | what it tells |
|---|---|---|---|
`;
