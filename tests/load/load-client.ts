// Closed-loop load over raw sockets: node tests/load/load-client.ts HOST:PORT FOLDER [CONNECTIONS] [SECONDS]
// FOLDER holds whole requests, 0.http, 1.http, …, sent in turn. Prints requests a second, percentiles of the latency
// (ms) and statuses as JSON. It spends little time of its own.
import { openConnection, readRequests } from './raw-connection.ts';

const [address = '', folder = '', connections = '8', seconds = '10'] = process.argv.slice(2);
const requests = readRequests(folder);
const latencies: number[] = [];
const statuses: Record<string, number> = {};
let next = 0;
const start = performance.now();
const end = start + Number(seconds) * 1000;

async function client(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let sentAt = 0;
    const connection = openConnection(address, {
      onOpen: send,
      onAnswer(status) {
        const now = performance.now();
        latencies.push(now - sentAt);
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (now < end) return send();
        connection.close();
        resolve();
      },
      onError: reject,
    });
    function send(): void {
      sentAt = performance.now();
      next = (next + 1) % requests.length;
      connection.send(requests[next] as Buffer);
    }
  });
}

await Promise.all(Array.from({ length: Number(connections) }, client));
const elapsed = (performance.now() - start) / 1000;
latencies.sort((a, b) => a - b);
const at = (share: number): number =>
  Number(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]?.toFixed(3));
console.log(
  JSON.stringify({
    requests: latencies.length,
    requestsPerSecond: Number((latencies.length / elapsed).toFixed(1)),
    p50Ms: at(0.5),
    p90Ms: at(0.9),
    p99Ms: at(0.99),
    maxMs: at(1),
    statuses,
  }),
);
