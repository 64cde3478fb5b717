import { openConnection } from '../raw-connection.ts';

/** Latencies of one load, in ms, and what it did a second. */
export type Load = { readonly perSecond: number; readonly p50Ms: number; readonly p95Ms: number };

/** Sends requests over so many connections, each waiting for its answer, until the time or the count is over. */
export async function runLoad(
  address: string,
  options: { connections: number; seconds: number; requestsMax?: number; next: (index: number) => Buffer },
): Promise<Load> {
  const { connections, seconds, requestsMax = Number.POSITIVE_INFINITY, next } = options;
  const latencies: number[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1_000;
  let sent = 0;
  const connection = (): Promise<void> =>
    new Promise((resolve, reject) => {
      let sentMs = 0;
      const send = (): void => {
        sentMs = performance.now();
        if (sentMs >= endMs || sent >= requestsMax) {
          open.close();
          resolve();
          return;
        }
        sent += 1;
        open.send(next(sent));
      };
      const open = openConnection(address, {
        onOpen: send,
        onAnswer: (status) => {
          latencies.push(performance.now() - sentMs);
          if (status === '200') send();
          else reject(new Error(`${address} answered ${status}`));
        },
        onError: reject,
      });
    });
  await Promise.all(Array.from({ length: connections }, connection));
  const elapsedSeconds = (performance.now() - startedMs) / 1_000;
  const sorted = latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { perSecond: sorted.length / elapsedSeconds, p50Ms: at(0.5), p95Ms: at(0.95) };
}

/** A POST below MLflow's prefix as it goes over the wire. */
export function postRequest(address: string, path: string, body: unknown): Buffer {
  const text = JSON.stringify(body);
  return Buffer.from(
    `POST /api/2.0/mlflow/${path} HTTP/1.1\r\nHost: ${address}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
