import type { Cell } from './cells.ts';
import type { CellLoad, ServerResult } from './rounds.ts';
import { BASELINE } from './servers.ts';

const MIB = 1024 * 1024;

/** Everything that a run measured; what the JSON file holds. */
export type Report = {
  machine: string;
  conditions: string;
  cells: readonly Cell[];
  servers: readonly ServerResult[];
  /** Rows a second of onnxruntime-node without a server, by threads, one value a round. */
  bare: Record<string, number[]>;
};

/** The middle value; of an even number the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** The report as Markdown. */
export function toMarkdown(report: Report): string {
  const ran = report.servers.filter(({ cells }) => Object.keys(cells).length > 0);
  const sections = [
    `${report.machine}\n\n${report.conditions}`,
    section('Requests a second (median; in brackets the multiple of node-naive)', overview(report, ran)),
    ...report.cells.map((cell) => section(cell.name, cellTable(report, ran, cell))),
    section('Start and memory', startTable(ran)),
    section('Constant rate', openTable(ran)),
    section('Against the bare loop', bareTable(report, ran)),
    section('Millrace alone', measureTable(ran)),
    section('Servers', [['server', 'version and options'], ...ran.map(({ name, about }) => [name, about])]),
    section('Left out', [
      ['server', 'why'],
      ...report.servers.flatMap(({ name, fault, cellFaults }) => [
        ...(fault === null ? [] : [[name, fault]]),
        ...Object.entries(cellFaults).map(([cell, why]) => [`${name}, ${cell}`, why]),
      ]),
    ]),
  ];
  return `${sections.filter(Boolean).join('\n\n')}\n`;
}

/** A table under a heading; nothing when it has no rows. */
function section(title: string, rows: string[][]): string {
  const [head, ...body] = rows;
  if (head === undefined || body.length === 0) return '';
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [`### ${title}`, '', line(head), line(head.map(() => '---')), ...body.map(line)].join('\n');
}

function rates(result: ServerResult | undefined, cell: string): number[] {
  return (result?.cells[cell] ?? []).map(({ requestsPerSecond }) => requestsPerSecond);
}

function ratio(report: Report, result: ServerResult, cell: string): string {
  const baseline = median(
    rates(
      report.servers.find(({ name }) => name === BASELINE),
      cell,
    ),
  );
  return Number.isFinite(baseline) ? (median(rates(result, cell)) / baseline).toFixed(2) : '-';
}

function overview(report: Report, ran: readonly ServerResult[]): string[][] {
  const names = report.cells.map(({ name }) => name);
  const value = (result: ServerResult, cell: string): string => {
    const measured = rates(result, cell);
    return measured.length === 0 ? '' : `${count(median(measured))} (${ratio(report, result, cell)})`;
  };
  return [
    ['server', ...names],
    ...ran.map((result) => [result.name, ...names.map((cell) => value(result, cell))]),
  ];
}

function cellTable(report: Report, ran: readonly ServerResult[], cell: Cell): string[][] {
  const measured = ran.filter(({ cells }) => cells[cell.name] !== undefined);
  const rows = measured
    .sort((a, b) => median(rates(b, cell.name)) - median(rates(a, cell.name)))
    .map((result) => {
      const loads = result.cells[cell.name] ?? [];
      const of = (read: (load: CellLoad) => number): number[] => loads.map(read);
      return [
        result.name,
        spread(rates(result, cell.name), count),
        ratio(report, result, cell.name),
        spread(
          of((load) => load.p50Ms),
          ms,
        ),
        spread(
          of((load) => load.p99Ms),
          ms,
        ),
        spread(
          of((load) => load.processorUs),
          count,
        ),
        String(of((load) => load.errors).reduce((a, b) => a + b, 0)),
      ];
    });
  const unit = cell.rows === 1 ? 'requests/s' : `requests/s of ${cell.rows} rows`;
  return [
    [
      'server',
      `${unit} min/median/max`,
      'to node-naive',
      'p50 ms',
      'p99 ms',
      'processor µs a request',
      'errors',
    ],
    ...rows,
  ];
}

function startTable(ran: readonly ServerResult[]): string[][] {
  return [
    [
      'server',
      'start to first right answer, ms',
      'memory after the load (PSS), MB',
      'largest difference to onnxruntime',
      'machine busy before, %',
      'notes',
    ],
    ...ran.map((result) => [
      result.name,
      spread(result.startMs, count),
      spread(result.memoryBytes, (value) => count(value / MIB)),
      result.difference.toExponential(1),
      spread(result.busyBefore, (value) => count(value * 100)),
      result.notes.join('; '),
    ]),
  ];
}

function openTable(ran: readonly ServerResult[]): string[][] {
  const rows = ran
    .filter(({ open }) => open.length > 0)
    .map(({ name, open }) => {
      const wrong = open.map(({ statuses, unanswered }) => {
        const others = Object.entries(statuses).filter(([status]) => status !== '200');
        return others.reduce((sum, [, times]) => sum + times, unanswered);
      });
      return [
        name,
        ...(['p50Ms', 'p99Ms', 'p999Ms', 'maxMs'] as const).map((key) =>
          spread(
            open.map(({ due }) => due[key]),
            ms,
          ),
        ),
        spread(
          open.map(({ sent }) => sent.p99Ms),
          ms,
        ),
        spread(
          open.map(({ late }) => late.p99Ms),
          ms,
        ),
        String(wrong.reduce((a, b) => a + b, 0)),
      ];
    });
  const head = [
    'server',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'max ms',
    'p99 from sent, ms',
    'client late p99, ms',
    'errors',
  ];
  return [head, ...rows];
}

function bareTable(report: Report, ran: readonly ServerResult[]): string[][] {
  const cell = report.cells.find(({ rows, model }) => rows > 1 && model === 'mlp');
  const bare = Object.entries(report.bare).filter(([, values]) => values.length > 0);
  if (cell === undefined || bare.length === 0) return [];
  const loops = bare.map(([threads, values]) => ({ name: `bare loop, ${threads} thread(s)`, values }));
  const servers = ran
    .filter(({ cells }) => cells[cell.name] !== undefined)
    .map((result) => ({
      name: result.name,
      values: rates(result, cell.name).map((rate) => rate * cell.rows),
    }));
  return [
    ['', `${cell.name}, rows/s min/median/max`, ...loops.map(({ name }) => `of the ${name}`)],
    ...[...loops, ...servers].map(({ name, values }) => [
      name,
      spread(values, count),
      ...loops.map((loop) => `${((median(values) / median(loop.values)) * 100).toFixed(0)} %`),
    ]),
  ];
}

function measureTable(ran: readonly ServerResult[]): string[][] {
  const all = ran.flatMap(({ measures }) => measures.flat());
  const names = [...new Set(all.map(({ name }) => name))];
  return [
    ['', 'min/median/max'],
    ...names.map((name) => {
      const same = all.filter((measure) => measure.name === name);
      return [
        name,
        `${spread(
          same.map(({ value }) => value),
          ms,
        )} ${same[0]?.unit ?? ''}`.trim(),
      ];
    }),
  ];
}

function spread(values: readonly number[], format: (value: number) => string): string {
  if (values.length === 0) return '-';
  if (values.length === 1) return format(values[0] ?? Number.NaN);
  return [Math.min(...values), median(values), Math.max(...values)].map(format).join('/');
}

function count(value: number): string {
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en-US');
}

/** 0 stands where nothing was answered. */
function ms(value: number): string {
  if (value === 0) return '-';
  return value < 10 ? value.toFixed(2) : value.toFixed(1);
}
