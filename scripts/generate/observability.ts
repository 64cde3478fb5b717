import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DASHBOARDS } from './dashboards.ts';
import { grafanaDashboard } from './grafana.ts';
import { metricCatalog, metricsPage } from './metrics.ts';

const ALERTS = join('infra', 'prometheus', 'alerts.yaml');
const CHART_FILES = join('deploy', 'helm', 'millrace', 'files');

/** Files that follow from the metrics, the alerts and the descriptions of the dashboards, by path from the root. */
export async function observabilityFiles(root: string): Promise<Map<string, string>> {
  const files = new Map([['docs/metrics.md', metricsPage(await metricCatalog())]]);
  // Helm reads only what lies in the chart
  files.set(join(CHART_FILES, 'alerts.yaml'), readFileSync(join(root, ALERTS), 'utf8'));
  for (const dashboard of DASHBOARDS) {
    const text = `${JSON.stringify(grafanaDashboard(dashboard), null, 2)}\n`;
    for (const folder of [join('infra', 'grafana'), CHART_FILES])
      files.set(join(folder, 'dashboards', `${dashboard.name}.json`), text);
  }
  return files;
}

/** Writes them. */
export async function writeObservability(root: string): Promise<void> {
  for (const [file, text] of await observabilityFiles(root)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
}
