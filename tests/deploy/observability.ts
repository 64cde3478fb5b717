import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { REPOSITORY_ROOT, SERVICE_NAMES } from '@millrace/embedded';
import { prometheusPrograms } from '@millrace/testing';
import { parse } from 'yaml';
import { DASHBOARDS } from '../../scripts/generate/dashboards.ts';
import type { MetricEntry } from '../../scripts/generate/metrics.ts';
import { metricCatalog } from '../../scripts/generate/metrics.ts';
import { observabilityFiles } from '../../scripts/generate/observability.ts';
import { ALERT_CASES, type AlertCase, QUIET } from './alert-cases.ts';
import { readPromql } from './promql.ts';
import { objectsOf, SETTINGS } from './rendered.ts';
import { ofKind } from './workloads.ts';

const run = promisify(execFile);
/** Labels that Prometheus and our registry add to every series. */
const ADDED = ['service', 'job', 'instance', 'le'];
const QUIET_MINUTES = 60;
/** The first use fetches Prometheus. */
const FETCH_TIMEOUT_MS = 180_000;

type Rule = {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: Record<string, string>;
};
const read = (file: string): string => readFileSync(join(REPOSITORY_ROOT, file), 'utf8');
const rules = (parse(read('infra/prometheus/alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
let catalog: ReadonlyMap<string, MetricEntry>;
let folder: string;

beforeAll(async () => {
  catalog = new Map((await metricCatalog()).map((entry) => [entry.name, entry]));
  folder = mkdtempSync(join(tmpdir(), 'millrace-alerts-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The metric behind the name of a series; Prometheus itself makes `up`. */
function metricOf(series: string): MetricEntry | undefined {
  if (series === 'up') return { name: 'up', type: 'gauge', help: '', labels: [], service: '' };
  const own = catalog.get(series);
  if (own !== undefined) return own.type === 'histogram' ? undefined : own;
  const histogram = catalog.get(series.replace(/_(bucket|sum|count)$/, ''));
  return histogram?.type === 'histogram' ? histogram : undefined;
}

/** What an expression asks for that no service has. */
function faultsOf(expression: string): string[] {
  const { selectors, groupings } = readPromql(expression);
  const known = new Set(ADDED);
  const faults = selectors.flatMap(({ metric, namePattern, labels }) => {
    const found = metric !== undefined ? [metricOf(metric)] : matching(namePattern);
    if (found.length === 0 || found.includes(undefined)) return [`no metric ${metric ?? namePattern}`];
    for (const entry of found) for (const label of entry?.labels ?? []) known.add(label);
    const has = [...ADDED, ...found.flatMap((entry) => entry?.labels ?? [])];
    return labels.filter((label) => !has.includes(label)).map((label) => `${metric} has no label ${label}`);
  });
  const grouped = groupings.flatMap(({ labels }) => labels).filter((label) => !known.has(label));
  return [...faults, ...grouped.map((label) => `nothing has the label ${label}`)];
}

function matching(pattern: string | undefined): (MetricEntry | undefined)[] {
  const names = [...catalog.keys()].flatMap((name) => [
    name,
    `${name}_count`,
    `${name}_sum`,
    `${name}_bucket`,
  ]);
  return names.filter((name) => new RegExp(`^(?:${pattern})$`).test(name)).map(metricOf);
}

test('the catalogue is not empty, and each metric says what it tells', () => {
  expect(catalog.size).toBeGreaterThan(40);
  expect([...catalog.values()].filter(({ help }) => help.length < 5)).toEqual([]);
});

test('alerts ask only for metrics and labels that services register', () => {
  expect(rules.length).toBeGreaterThan(10);
  expect(rules.flatMap(({ alert, expr }) => faultsOf(expr).map((fault) => `${alert}: ${fault}`))).toEqual([]);
});

test('dashboards ask only for metrics and labels that services register', () => {
  const faults = DASHBOARDS.flatMap(({ name, rows }) =>
    rows.flatMap(({ panels }) =>
      panels.flatMap(({ title, queries }) =>
        queries.flatMap(([expression]) => faultsOf(expression).map((fault) => `${name}, ${title}: ${fault}`)),
      ),
    ),
  );
  expect(faults).toEqual([]);
  for (const { of } of DASHBOARDS.flatMap(({ variables }) => variables)) {
    const [, series = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(of) ?? [];
    expect(metricOf(series)?.labels).toContain(label);
  }
});

test('a name, a label or a grouping that nobody has is seen', () => {
  expect(faultsOf('rate(millrace_gateway_requests_total[5m])')).toEqual([
    'no metric millrace_gateway_requests_total',
  ]);
  expect(faultsOf('millrace_inference_queue_requests{modell="m"}')).toEqual([
    'millrace_inference_queue_requests has no label modell',
  ]);
  expect(faultsOf('sum by (modell) (millrace_inference_queue_requests)')).toEqual([
    'nothing has the label modell',
  ]);
  expect(faultsOf('millrace_inference_request_seconds')).toHaveLength(1);
  expect(() => faultsOf('sum(rate(up[5m])')).toThrow(/not PromQL/);
});

test('each alert says how bad it is, what happens and what to do', () => {
  for (const { alert, labels, annotations } of rules) {
    expect([alert, ['critical', 'warning'].includes(labels.severity)]).toEqual([alert, true]);
    expect([alert, Object.keys(annotations)]).toEqual([alert, ['summary', 'description']]);
  }
  expect(ALERT_CASES.map(({ alert }) => alert)).toEqual(rules.map(({ alert }) => alert));
});

/** A test of promtool: ALERTS has a series for each alert that fires. */
function firingTest(one: AlertCase): object {
  const severity = rules.find(({ alert }) => alert === one.alert)?.labels.severity;
  const labels = { alertname: one.alert, alertstate: 'firing', severity, ...one.labels };
  const text = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return {
    name: one.alert,
    interval: '1m',
    input_series: Object.entries(one.series).map(([series, values]) => ({ series, values })),
    promql_expr_test: [
      {
        expr: `ALERTS{alertname="${one.alert}",alertstate="firing"}`,
        eval_time: `${one.atMinutes}m`,
        exp_samples: [{ labels: `ALERTS{${text.join(',')}}`, value: 1 }],
      },
    ],
  };
}

const quietTest = {
  name: 'quiet',
  interval: '1m',
  input_series: Object.entries(QUIET).map(([series, values]) => ({ series, values })),
  promql_expr_test: [
    { expr: 'ALERTS{alertstate="firing"}', eval_time: `${QUIET_MINUTES}m`, exp_samples: [] },
  ],
};

test(
  'promtool takes the alerts and the configuration, fires each alert and none on a quiet platform',
  async () => {
    const programs = await prometheusPrograms();
    if (programs === undefined) return;
    cpSync(join(REPOSITORY_ROOT, 'infra', 'prometheus'), folder, { recursive: true });
    writeFileSync(join(folder, 'metrics-token'), 'key');
    const tests = {
      rule_files: ['alerts.yaml'],
      evaluation_interval: '1m',
      tests: [...ALERT_CASES.map(firingTest), quietTest],
    };
    // JSON is YAML
    writeFileSync(join(folder, 'tests.yaml'), JSON.stringify(tests));
    const config = await run(programs.promtool, ['check', 'config', join(folder, 'prometheus.yaml')]);
    expect(config.stdout).toMatch(/SUCCESS: \d+ rules found/);
    const fired = await run(programs.promtool, ['test', 'rules', join(folder, 'tests.yaml')]).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    expect(`${fired.stdout}${fired.stderr}`).toMatch(/SUCCESS/);
  },
  FETCH_TIMEOUT_MS,
);

test('Prometheus scrapes every service by a key from a file', () => {
  type Config = {
    rule_files: string[];
    scrape_configs: { job_name: string; authorization: object; static_configs: { targets: string[] }[] }[];
  };
  const { rule_files, scrape_configs } = parse(read('infra/prometheus/prometheus.yaml')) as Config;
  expect(scrape_configs.map(({ job_name }) => job_name).sort()).toEqual(
    SERVICE_NAMES.map((name) => `millrace-${name}`).sort(),
  );
  for (const { job_name, authorization, static_configs } of scrape_configs) {
    expect(static_configs[0]?.targets[0]).toMatch(new RegExp(`^${job_name.slice('millrace-'.length)}:\\d+$`));
    expect(authorization).toEqual({ type: 'Bearer', credentials_file: 'metrics-token' });
  }
  for (const file of rule_files)
    expect(existsSync(join(REPOSITORY_ROOT, 'infra', 'prometheus', file))).toBe(true);
});

test('generated files are those of the sources', async () => {
  for (const [file, text] of await observabilityFiles(REPOSITORY_ROOT))
    expect([file, read(file) === text ? 'as it should be' : 'run npm run generate']).toEqual([
      file,
      'as it should be',
    ]);
});

test.each(SETTINGS)('%s: a cluster with an operator gets the same alerts and dashboards', async (setting) => {
  const objects = await objectsOf(setting);
  const [own] = ofKind<object>(objects, 'PrometheusRule');
  const dashboards = objects.filter(({ metadata }) => metadata.name.startsWith('millrace-dashboard-'));
  const isOn = ['staging', 'production', 'everything'].includes(setting);
  expect(own?.spec).toEqual(isOn ? parse(read('infra/prometheus/alerts.yaml')) : undefined);
  expect(dashboards.map(({ data }) => Object.keys(data as object)[0]).sort()).toEqual(
    isOn ? DASHBOARDS.map(({ name }) => `${name}.json`).sort() : [],
  );
  for (const { data } of dashboards)
    for (const [file, text] of Object.entries(data as Record<string, string>))
      expect(text).toBe(read(join('infra', 'grafana', 'dashboards', file)));
});

test("the collector's pipelines use what it declares, and all of it", () => {
  type Parts = Record<string, object>;
  type Collector = Record<'receivers' | 'processors' | 'exporters' | 'extensions', Parts> & {
    service: { extensions: string[]; pipelines: Record<string, Record<string, string[]>> };
  };
  const collector = parse(read('infra/otel/collector.yaml')) as Collector;
  const used: Record<string, string[]> = { extensions: collector.service.extensions };
  for (const pipeline of Object.values(collector.service.pipelines))
    for (const [kind, names] of Object.entries(pipeline)) used[kind] = [...(used[kind] ?? []), ...names];
  for (const kind of ['receivers', 'processors', 'exporters', 'extensions'] as const)
    expect([kind, [...new Set(used[kind])].sort()]).toEqual([kind, Object.keys(collector[kind]).sort()]);
  expect(collector.service.pipelines.traces?.processors?.[0]).toBe('memory_limiter');
});
