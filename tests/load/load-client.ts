// Closed-loop load over raw sockets: node tests/load/load-client.ts HOST:PORT PATH BODY_FILE [CONNECTIONS] [SECONDS] [HEADER...]
// Prints requests a second, percentiles of the latency (ms) and statuses. It spends little time of its own.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const [address = '', path = '/predict', file = '', connections = '8', seconds = '10', ...headers] =
  process.argv.slice(2);
const [host = '127.0.0.1', port = '80'] = address.split(':');
const body = readFileSync(file);
const head = [
  `POST ${path} HTTP/1.1`,
  `Host: ${address}`,
  `Content-Length: ${body.length}`,
  ...(headers.length > 0 ? headers : ['Content-Type: application/json']),
];
const request = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]);
const latencies: number[] = [];
const statuses = new Map<string, number>();
const end = performance.now() + Number(seconds) * 1000;

async function client(): Promise<void> {
  const socket = connect(Number(port), host);
  socket.setNoDelay(true);
  let received: Buffer = Buffer.alloc(0);
  let done: (() => void) | undefined;
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const at = received.indexOf('\r\n\r\n');
    if (at < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(received.toString('latin1', 0, at))?.[1] ?? 0);
    if (received.length < at + 4 + length) return;
    const status = received.toString('latin1', 9, 12);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    received = Buffer.alloc(0);
    done?.();
  });
  while (performance.now() < end) {
    const start = performance.now();
    await new Promise<void>((resolve, reject) => {
      done = resolve;
      socket.once('error', reject);
      socket.write(request);
    });
    socket.removeAllListeners('error');
    latencies.push(performance.now() - start);
  }
  socket.destroy();
}

const start = performance.now();
await Promise.all(Array.from({ length: Number(connections) }, client));
const elapsed = (performance.now() - start) / 1000;
latencies.sort((a, b) => a - b);
const at = (share: number): number =>
  Number(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]?.toFixed(2));
console.log(
  JSON.stringify({
    requestsPerSecond: Number((latencies.length / elapsed).toFixed(1)),
    p50Ms: at(0.5),
    p90Ms: at(0.9),
    p99Ms: at(0.99),
    maxMs: at(1),
    statuses: Object.fromEntries(statuses),
  }),
);
