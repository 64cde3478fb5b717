import { dirname, join } from 'node:path';
import {
  type Connection,
  folderSize,
  homeRoot,
  livePids,
  type Memory,
  openHome,
  type PartState,
  type PlatformState,
  processMemory,
  readConnection,
  readPlatformState,
  treeMemory,
} from '@millrace/embedded';
import { readOptions, runScript } from './lib/command-line.ts';
import { bytes, duration, table } from './lib/format.ts';

const USAGE = `npm run status [-- --json]

Shows each part of the running platform: state, process, port, memory, restarts. Status 1 when nothing runs,
2 when a part is down.
  --json  the same for programs
  --help  this text`;

const EXIT_NOT_RUNNING = 1;
const EXIT_DEGRADED = 2;

type PartReport = PartState & { memory: Memory; upMs: number };

const options = readOptions({ usage: USAGE, options: { json: { type: 'boolean' } } });

function report(part: PartState): PartReport {
  const memory = part.pid === null ? { ownBytes: 0, fileBytes: 0 } : treeMemory(part.pid);
  return { ...part, memory, upMs: Date.now() - Date.parse(part.since) };
}

/** The supervisor as a row of the table; the parts are its children, so it is measured alone. */
function supervisorReport({ supervisor, startedAt, parts }: PlatformState): PartReport {
  return {
    name: 'supervisor',
    kind: 'server',
    status: 'running',
    pid: supervisor.pid,
    port: null,
    restarts: 0,
    since: startedAt,
    logFile: join(dirname(parts[0]?.logFile ?? ''), 'supervisor.log'),
    reason: null,
    memory: processMemory(supervisor.pid),
    upMs: Date.now() - Date.parse(startedAt),
  };
}

function printTable(parts: readonly PartReport[], open: Connection | null, dataBytes: number): void {
  const heading = ['part', 'state', 'pid', 'port', 'memory', 'mapped', 'for', 'restarts'];
  const rows = parts.map((part) => [
    part.name,
    part.status,
    String(part.pid ?? '-'),
    String(part.port ?? '-'),
    bytes(part.memory.ownBytes),
    bytes(part.memory.fileBytes),
    duration(part.upMs),
    String(part.restarts),
  ]);
  const own = parts.reduce((total, { memory }) => total + memory.ownBytes, 0);
  const files = parts.reduce((total, { memory }) => total + memory.fileBytes, 0);
  process.stdout.write(`${table([heading, ...rows])}\n\n`);
  process.stdout.write(`memory ${bytes(own)}, mapped programs ${bytes(files)}, data ${bytes(dataBytes)}\n`);
  if (open) process.stdout.write(`open ${open.gateway}, gRPC ${open.grpc}\n`);
  for (const part of parts.filter(({ reason }) => reason)) {
    process.stdout.write(`${part.name}: ${part.reason} (log: ${part.logFile})\n`);
  }
}

/** What to say when no supervisor runs: perhaps one was killed and its parts still run. */
function sayStopped(pids: string): void {
  const left = [...livePids(pids).keys()];
  if (options.json) process.stdout.write(`${JSON.stringify({ phase: 'stopped', parts: [], left })}\n`);
  else if (left.length === 0) process.stdout.write('Nothing runs here; start it: npm run up\n');
  else process.stdout.write(`The supervisor is gone and left ${left.join(', ')}; end them: npm run down\n`);
}

await runScript(async () => {
  const home = openHome(homeRoot(process.env));
  const state = readPlatformState(home.stateFile);
  if (!state) {
    sayStopped(home.pids);
    return EXIT_NOT_RUNNING;
  }
  const parts = [supervisorReport(state), ...state.parts.map(report)];
  const open = readConnection(home.connectionFile);
  const dataBytes = folderSize(home.data);
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ ...state, gateway: open?.gateway ?? null, grpc: open?.grpc ?? null, dataBytes, parts }, null, 2)}\n`,
    );
  } else printTable(parts, open, dataBytes);
  return parts.every((part) => part.status === 'running') ? 0 : EXIT_DEGRADED;
});
