import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { treeMemory } from '@millrace/embedded';
import { checkAnswers, modelOf } from './answers.ts';
import type { Cell } from './cells.ts';
import type { Load, LoadTool, OpenLoad } from './load.ts';
import { closedLoop, openLoop } from './load.ts';
import type { Measure } from './millrace-extras.ts';
import { measureMillrace } from './millrace-extras.ts';
import type { Endpoint, Payload } from './payloads.ts';
import { payloadsOf, writeRequests } from './payloads.ts';
import { machineBusyShare, processorSeconds } from './proc.ts';
import type { RunningServer, Server, ServerContext } from './server.ts';

const BUSY_SAMPLE_MS = 500;
const RATE_CELL: Cell = { name: 'mlp-json-c1', model: 'mlp', encoding: 'json', rows: 1, connections: 1 };

/** A load of one cell with the processor time that a request cost the server (µs). */
export type CellLoad = Load & { processorUs: number };

/** What was measured of a server, one value a round. */
export type ServerResult = {
  name: string;
  about: string;
  /** Why it was left out or given up; null when it ran. */
  fault: string | null;
  /** Why a cell was given up, by its name. */
  cellFaults: Record<string, string>;
  /** Largest difference of an answer to onnxruntime's. */
  difference: number;
  startMs: number[];
  memoryBytes: number[];
  /** How busy the machine was before the server started, 0 to 1. */
  busyBefore: number[];
  cells: Record<string, CellLoad[]>;
  open: OpenLoad[];
  notes: string[];
  measures: Measure[][];
};

/** How the rounds go. */
export type RoundOptions = {
  cells: readonly Cell[];
  seconds: number;
  warmUpSeconds: number;
  /** Requests a second of the open loop; 0 leaves it out. */
  rate: number;
  tool: LoadTool;
};

/** An empty result of a server. */
export function emptyResult({ name, about }: Server): ServerResult {
  const lists = { startMs: [], memoryBytes: [], busyBefore: [], open: [], notes: [], measures: [] };
  return { name, about, fault: null, cellFaults: {}, difference: 0, cells: {}, ...lists };
}

/** Starts a server, checks its answers, measures its cells and ends it; adds to `result`. */
export async function measureServer(
  server: Server,
  result: ServerResult,
  context: ServerContext,
  options: RoundOptions,
): Promise<void> {
  const { print } = context;
  result.busyBefore.push(await machineBusyShare(BUSY_SAMPLE_MS));
  const running = await server.start(context);
  try {
    if (running.startMs !== null) {
      result.startMs.push(running.startMs);
      print(`  first right answer  ${Math.round(running.startMs)} ms`);
    }
    result.notes = [...running.notes];
    const turn = createTurn(server, running, context, options);
    for (const cell of options.cells) {
      const endpoint = server.endpoints[cell.encoding];
      if (endpoint === undefined || result.cellFaults[cell.name] !== undefined) continue;
      try {
        if (server.isBound !== true)
          result.difference = Math.max(result.difference, await turn.check(cell, endpoint));
        const load = await turn.load(cell, endpoint);
        result.cells[cell.name] = [...(result.cells[cell.name] ?? []), load];
      } catch (error) {
        if (context.signal.aborted) throw error;
        result.cellFaults[cell.name] = (error as Error).message;
        print(`  ${cell.name}  given up: ${(error as Error).message}`);
      }
    }
    result.memoryBytes.push(memoryOf(running));
    const closed = result.cells[RATE_CELL.name]?.at(-1);
    const open = await turn.open(closed);
    if (open !== null) result.open.push(open);
    else if (options.rate > 0) result.notes.push(`too slow for ${options.rate} requests a second`);
    if (server.name === 'millrace') {
      const folder = join(context.scratch, 'requests');
      const { tool, seconds } = options;
      const measures = { tool, seconds, folder, signal: context.signal };
      result.measures.push(await measureMillrace(running, context.models, measures));
    }
  } finally {
    await running.stop();
  }
}

function memoryOf(running: RunningServer): number {
  const trees = running.processes().map(treeMemory);
  return trees.reduce((sum, { ownBytes, fileBytes }) => sum + ownBytes + fileBytes, 0);
}

function createTurn(server: Server, running: RunningServer, context: ServerContext, options: RoundOptions) {
  const { models, scratch, signal, print } = context;
  const checked = new Set<string>();
  const host = new URL(running.origin).host;
  const payloads = (cell: Cell, { dialect }: Endpoint): Payload[] =>
    payloadsOf(cell, modelOf(models.byName, cell.model), dialect);
  const write = (cell: Cell, endpoint: Endpoint): string => {
    const folder = join(scratch, 'requests');
    rmSync(folder, { recursive: true, force: true });
    const target = { host, path: endpoint.path(cell.model), headers: running.headers };
    return writeRequests(folder, target, payloads(cell, endpoint));
  };
  return {
    /** Answers of a cell are checked once a turn, before any is timed. */
    async check(cell: Cell, endpoint: Endpoint): Promise<number> {
      const key = `${cell.model}-${cell.encoding}-${cell.rows}`;
      if (checked.has(key)) return 0;
      checked.add(key);
      return checkAnswers(running, endpoint.path(cell.model), endpoint.dialect, payloads(cell, endpoint));
    },
    async load(cell: Cell, endpoint: Endpoint): Promise<CellLoad> {
      const { tool, seconds, warmUpSeconds } = options;
      const folder = write(cell, endpoint);
      const { origin } = running;
      const send = (length: number): Promise<Load> =>
        closedLoop(tool, { origin, folder, connections: cell.connections, seconds: length }, signal);
      if (warmUpSeconds > 0) await send(warmUpSeconds);
      const before = processorSeconds(running.processes());
      const load = await send(seconds);
      const spent = processorSeconds(running.processes()) - before;
      const answers = load.requestsPerSecond * seconds;
      const processorUs = answers > 0 ? (spent / answers) * 1e6 : 0;
      const { requestsPerSecond, p50Ms, p99Ms, errors } = load;
      print(
        `  ${cell.name.padEnd(18)}  ${String(Math.round(requestsPerSecond)).padStart(6)} requests/s  ` +
          `p50 ${p50Ms.toFixed(2)} ms  p99 ${p99Ms.toFixed(2)} ms  ${Math.round(processorUs)} µs of processor time` +
          (errors > 0 ? `  ${errors} errors` : ''),
      );
      return { ...load, processorUs };
    },
    /** Nothing where the closed loop was slower than the rate: only its queue would show. */
    async open(closed: Load | undefined): Promise<OpenLoad | null> {
      const { rate, seconds, warmUpSeconds } = options;
      const endpoint = server.endpoints[RATE_CELL.encoding];
      if (rate === 0 || endpoint === undefined) return null;
      if (closed !== undefined && closed.requestsPerSecond < rate) return null;
      const folder = write(RATE_CELL, endpoint);
      const open = await openLoop({ origin: running.origin, folder, rate, seconds, warmUpSeconds }, signal);
      const { due, late } = open;
      print(
        `  ${rate} a second        p50 ${due.p50Ms.toFixed(2)}  p99 ${due.p99Ms.toFixed(2)}  ` +
          `p99.9 ${due.p999Ms.toFixed(2)} ms; client late p99 ${late.p99Ms.toFixed(2)} ms`,
      );
      return open;
    },
  };
}
