import {
  folderSize,
  homeRoot,
  openHome,
  type PartState,
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

type PartReport = PartState & { memoryBytes: number; upMs: number };

const options = readOptions({ usage: USAGE, options: { json: { type: 'boolean' } } });

function report(part: PartState): PartReport {
  const memoryBytes = part.pid === null ? 0 : treeMemory(part.pid);
  return { ...part, memoryBytes, upMs: Date.now() - Date.parse(part.since) };
}

function printTable(parts: readonly PartReport[], gateway: string | undefined, dataBytes: number): void {
  const heading = ['part', 'state', 'pid', 'port', 'memory', 'for', 'restarts'];
  const rows = parts.map((part) => [
    part.name,
    part.status,
    String(part.pid ?? '-'),
    String(part.port ?? '-'),
    part.memoryBytes ? bytes(part.memoryBytes) : '-',
    duration(part.upMs),
    String(part.restarts),
  ]);
  const total = parts.reduce((sum, part) => sum + part.memoryBytes, 0);
  process.stdout.write(`${table([heading, ...rows])}\n\nmemory ${bytes(total)}, data ${bytes(dataBytes)}\n`);
  if (gateway) process.stdout.write(`open ${gateway}\n`);
  for (const part of parts.filter(({ reason }) => reason)) {
    process.stdout.write(`${part.name}: ${part.reason} (log: ${part.logFile})\n`);
  }
}

await runScript(async () => {
  const home = openHome(homeRoot(process.env));
  const state = readPlatformState(home.stateFile);
  if (!state) {
    process.stdout.write(
      options.json ? '{"phase":"stopped","parts":[]}\n' : 'Nothing runs here; start it: npm run up\n',
    );
    return EXIT_NOT_RUNNING;
  }
  const parts = state.parts.map(report);
  const gateway = readConnection(home.connectionFile)?.gateway;
  const dataBytes = folderSize(home.data);
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ ...state, gateway: gateway ?? null, dataBytes, parts }, null, 2)}\n`,
    );
  } else printTable(parts, gateway, dataBytes);
  return parts.every((part) => part.status === 'running') ? 0 : EXIT_DEGRADED;
});
