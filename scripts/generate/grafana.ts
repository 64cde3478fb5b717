/** A query of a panel and how its series are called. */
export type Query = readonly [expression: string, legend: string];

/** A panel with what it shows; `unit` is Grafana's name of it. */
export type Panel = {
  title: string;
  description: string;
  unit: 'reqps' | 'percentunit' | 's' | 'bytes' | 'short' | 'ops';
  queries: readonly Query[];
};

type Row = { title: string; panels: readonly Panel[] };

/** A dashboard by the name of its file. */
export type Dashboard = { name: string; title: string; rows: readonly Row[]; variables: readonly Variable[] };
type Variable = { name: string; label: string; of: string };

const COLUMNS = 24;
const PANEL_HEIGHT = 8;
const PANELS_IN_ROW = 3;
/** Version of Grafana's format that 10.4 and later read. */
const SCHEMA_VERSION = 39;

/** A dashboard as Grafana imports it; the same description gives the same bytes. */
export function grafanaDashboard(dashboard: Dashboard): object {
  let id = 0;
  let y = 0;
  const panels: object[] = [];
  for (const row of dashboard.rows) {
    id += 1;
    panels.push({
      id,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { h: 1, w: COLUMNS, x: 0, y },
    });
    y += 1;
    for (const [i, panel] of row.panels.entries()) {
      id += 1;
      const column = i % PANELS_IN_ROW;
      if (column === 0 && i > 0) y += PANEL_HEIGHT;
      const w = COLUMNS / PANELS_IN_ROW;
      panels.push(grafanaPanel(panel, id, { h: PANEL_HEIGHT, w, x: column * w, y }));
    }
    y += PANEL_HEIGHT;
  }
  return {
    uid: dashboard.name,
    title: dashboard.title,
    tags: ['millrace'],
    schemaVersion: SCHEMA_VERSION,
    editable: true,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: { list: [SOURCE, ...dashboard.variables.map(grafanaVariable)] },
    panels,
  };
}

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
const SOURCE = { name: 'datasource', label: 'Source', type: 'datasource', query: 'prometheus' };

function grafanaVariable({ name, label, of }: Variable): object {
  const query = { query: of, refId: name };
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query,
    refresh: 2,
    includeAll: true,
    multi: true,
    allValue: '.*',
    sort: 1,
  };
}

function grafanaPanel({ title, description, unit, queries }: Panel, id: number, gridPos: object): object {
  return {
    id,
    type: 'timeseries',
    title,
    description,
    gridPos,
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: { unit, min: 0, custom: { fillOpacity: 8, showPoints: 'never' } },
      overrides: [],
    },
    options: {
      legend: { displayMode: 'list', placement: 'bottom' },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
    targets: queries.map(([expr, legendFormat], i) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + i),
      datasource: DATASOURCE,
      expr,
      legendFormat,
      range: true,
    })),
  };
}
