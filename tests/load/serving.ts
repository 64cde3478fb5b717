// npm run bench:serving: Millrace beside other model servers, measured on this machine in one run. `--help` says what.
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';
import { readOptions, runScript } from '../../scripts/lib/command-line.ts';
import { bytes } from '../../scripts/lib/format.ts';
import { DEFAULT_CELLS, parseCell } from './serving/cells.ts';
import { findLoadTool } from './serving/load.ts';
import { makeModels } from './serving/models.ts';
import type { Report } from './serving/report.ts';
import { toMarkdown } from './serving/report.ts';
import type { RoundOptions, ServerResult } from './serving/rounds.ts';
import { emptyResult, measureServer } from './serving/rounds.ts';
import type { Server, ServerContext } from './serving/server.ts';
import { SERVERS } from './serving/servers.ts';

const USAGE = `npm run bench:serving [-- OPTIONS]

Starts each server in turn, compares its answers with Python onnxruntime, loads it and ends it; every second round goes
backwards. Prints medians, ratios to node-naive in the same run, start, memory, latency at a constant rate.
  --servers A,B     of ${SERVERS.map(({ name }) => name).join(', ')} (default all)
  --cells X,Y       model-encoding-cCONNECTIONS, or -bROWS-cN for several rows a request: mlp, cnn, tiny, tree;
                    json, binary (default ${DEFAULT_CELLS.join(', ')})
  --seconds N       length of each load (default 3)
  --warm-up N       load before each that does not count, seconds (default 1)
  --rounds N        (default 3)
  --rate N          requests a second of the constant rate, 0 for none (default 1000)
  --client NAME     wrk or own (default wrk where it is installed)
  --markdown FILE   writes the tables
  --json FILE       writes every value
The Python servers' environments are made when they are first asked for (some GB for all). The client runs on the same
cores as the server. Triton takes part where tritonserver is on PATH or in /opt/tritonserver and its ONNX Runtime backend
in /opt/tritonserver/backends or MILLRACE_BENCH_TRITON_BACKENDS. Ctrl-C ends everything that was started and prints what
was measured.`;

const SECONDS_MAX = 600;
const ROUNDS_MAX = 100;
const RATE_MAX = 100_000;
const BARE_ROWS = 32;
/** What starting, checking and ending a server takes, about. */
const START_SECONDS = 10;
const EXIT_INTERRUPTED = 130;
const run = promisify(execFile);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`--${name} takes a whole number from ${min} to ${max}, not '${text}'`);
}

function chooseServers(names: string | undefined): readonly Server[] {
  if (names === undefined) return SERVERS;
  return names.split(',').map((wanted) => {
    const server = SERVERS.find(({ name }) => name === wanted);
    if (server === undefined) {
      throw new Error(`no server '${wanted}'; there are ${SERVERS.map(({ name }) => name).join(', ')}`);
    }
    return server;
  });
}

async function bareLoops(
  report: Report,
  folder: string,
  seconds: number,
  signal: AbortSignal,
): Promise<void> {
  for (const threads of ['1', '2']) {
    const args = [join(REPOSITORY_ROOT, 'tests', 'load', 'serving', 'bare-loop.ts'), folder, 'mlp'];
    const sizes = [String(BARE_ROWS), threads, String(seconds)];
    const { stdout } = await run(nodeBinary(), [...args, ...sizes], { signal });
    report.bare[threads] = [...(report.bare[threads] ?? []), Number(stdout)];
    print(`bare loop, ${threads} thread(s), ${BARE_ROWS} rows a run: ${Math.round(Number(stdout))} rows/s`);
  }
}

async function turn(
  server: Server,
  result: ServerResult,
  context: ServerContext,
  options: RoundOptions,
): Promise<void> {
  try {
    await measureServer(server, result, context, options);
  } catch (error) {
    if (context.signal.aborted) return;
    result.fault = (error as Error).message;
    print(`  given up: ${result.fault}`);
  }
}

async function prepare(servers: readonly Server[], results: readonly ServerResult[], context: ServerContext) {
  for (const [at, server] of servers.entries()) {
    const result = results[at] as ServerResult;
    result.fault = server.missing?.() ?? null;
    if (result.fault !== null) {
      print(`${server.name} is left out: ${result.fault}`);
      continue;
    }
    try {
      if (server.prepare) print(`preparing ${server.name}`);
      await server.prepare?.(context);
    } catch (error) {
      result.fault = (error as Error).message;
      print(`${server.name} is left out: ${result.fault}`);
    }
    if (context.signal.aborted) return;
  }
}

await runScript(async () => {
  const values = readOptions({
    usage: USAGE,
    options: {
      servers: { type: 'string' },
      cells: { type: 'string', default: DEFAULT_CELLS.join(',') },
      seconds: { type: 'string', default: '3' },
      'warm-up': { type: 'string', default: '1' },
      rounds: { type: 'string', default: '3' },
      rate: { type: 'string', default: '1000' },
      client: { type: 'string' },
      markdown: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const servers = chooseServers(values.servers);
  const cells = values.cells.split(',').map(parseCell);
  const rounds = wholeNumber('rounds', values.rounds, 1, ROUNDS_MAX);
  const found = await findLoadTool();
  if (values.client !== undefined && values.client !== 'wrk' && values.client !== 'own')
    throw new Error(`--client is wrk or own, not '${values.client}'`);
  const options: RoundOptions = {
    cells,
    seconds: wholeNumber('seconds', values.seconds, 1, SECONDS_MAX),
    warmUpSeconds: wholeNumber('warm-up', values['warm-up'], 0, SECONDS_MAX),
    rate: wholeNumber('rate', values.rate, 0, RATE_MAX),
    tool: values.client ?? found,
  };
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (!interrupted.signal.aborted) print('\nending what was started …');
      interrupted.abort(new Error(name));
    });
  }
  const { signal } = interrupted;
  const scratch = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  chmodSync(scratch, 0o755);
  try {
    print('making the models');
    const models = await makeModels(join(scratch, 'models'));
    const context: ServerContext = { models, scratch, signal, print };
    const results = servers.map(emptyResult);
    const core = cpus();
    const report: Report = {
      machine: `${core.length} cores of ${core[0]?.model.trim()}, ${bytes(totalmem())}, Node ${process.versions.node}.`,
      conditions:
        `${rounds} round(s), ${options.warmUpSeconds} s warm-up and ${options.seconds} s a cell; closed loop by ` +
        `${options.tool === 'wrk' ? 'wrk, one thread (its p99 is corrected for coordinated omission)' : 'the client of tests/load'}; ` +
        `open loop over one connection at ${options.rate}/s; client and server share the cores. ` +
        `Answers compared with Python onnxruntime ${models.onnxruntime}.`,
      cells,
      servers: results,
      bare: {},
    };
    await prepare(servers, results, context);
    const ready = servers.filter((_, at) => results[at]?.fault === null);
    print(`${ready.length} servers, ${rounds} rounds: about ${minutesOf(ready, options, rounds)} minutes`);
    for (let round = 0; round < rounds && !signal.aborted; round += 1) {
      if (cells.some(({ rows }) => rows > 1))
        await bareLoops(report, models.folder, options.seconds, signal).catch(rethrowUnless(signal));
      const order = [...servers.keys()];
      for (const at of round % 2 === 0 ? order : order.reverse()) {
        const server = servers[at] as Server;
        const result = results[at] as ServerResult;
        if (signal.aborted || result.fault !== null) continue;
        print(`round ${round + 1}/${rounds}  ${server.name}`);
        await turn(server, result, context, options);
        if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
      }
    }
    if (results.every(({ cells: measured }) => Object.keys(measured).length === 0))
      return signal.aborted ? EXIT_INTERRUPTED : 1;
    const markdown = toMarkdown(report);
    print(`\n${markdown}`);
    if (values.markdown !== undefined) writeFileSync(values.markdown, markdown);
    if (signal.aborted) return EXIT_INTERRUPTED;
    const isFaulty = ({ fault, cells: measured, cellFaults }: ServerResult): boolean =>
      (fault !== null && Object.keys(measured).length > 0) || Object.keys(cellFaults).length > 0;
    return results.some((result) => result.name.startsWith('millrace') && isFaulty(result)) ? 1 : 0;
  } catch (error) {
    if (signal.aborted) return EXIT_INTERRUPTED;
    throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

/** How long the rounds take, with some seconds for each start and end. */
function minutesOf(servers: readonly Server[], options: RoundOptions, rounds: number): number {
  const { cells, seconds, warmUpSeconds, rate } = options;
  const each = seconds + warmUpSeconds;
  const turns = servers.map(({ endpoints }) => {
    const loads =
      cells.filter(({ encoding }) => endpoints[encoding] !== undefined).length + (rate > 0 ? 1 : 0);
    return loads * each + START_SECONDS;
  });
  return Math.ceil((rounds * turns.reduce((sum, turn) => sum + turn, 0)) / 60);
}

function rethrowUnless(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error;
  };
}
