// Open loop over one connection: node tests/load/open-loop.ts HOST:PORT FOLDER [RATE] [SECONDS] [WARM_UP_SECONDS]
// Requests are due at a constant rate whatever the server does; one that finds the connection busy waits, and its
// latency counts from when it was due. Prints percentiles (ms) as JSON: `due` counts from the time a request was due,
// `sent` from the time it was written, `late` is how late the client itself was with requests that need not wait.
import { Worker } from 'node:worker_threads';
import { build, type Histogram } from 'hdr-histogram-js';
import { openConnection, readRequests } from './raw-connection.ts';
import { nowUs } from './ticker.ts';

const GRACE_MS = 5_000;
const US_PER_SECOND = 1_000_000;
const HIGHEST_US = 60 * US_PER_SECOND;

const [address = '', folder = '', rateText = '1000', secondsText = '10', warmUpText = '1'] =
  process.argv.slice(2);
const requests = readRequests(folder);
const intervalUs = US_PER_SECOND / Number(rateText);
const warmUpUs = Number(warmUpText) * US_PER_SECOND;
const total = Math.round((warmUpUs + Number(secondsText) * US_PER_SECOND) / intervalUs);
const histogram = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: HIGHEST_US, numberOfSignificantValueDigits: 3 });
const fromDue = histogram();
const fromSent = histogram();
const late = histogram();
const statuses: Record<string, number> = {};
let startUs = 0;
let dueCount = 0;
let sentCount = 0;
let answered = 0;
let isBusy = false;
let sentAtUs = 0;

const dueAt = (index: number): number => startUs + index * intervalUs;
const isMeasured = (index: number): boolean => dueAt(index) - startUs >= warmUpUs;
const record = (to: Histogram, us: number): void =>
  to.recordValue(Math.min(HIGHEST_US, Math.max(1, Math.round(us))));

function sendNext(isFree: boolean): void {
  if (isBusy || sentCount >= dueCount) return;
  sentAtUs = nowUs();
  if (isFree && isMeasured(sentCount)) record(late, sentAtUs - dueAt(sentCount));
  isBusy = true;
  connection.send(requests[sentCount % requests.length] as Buffer);
  sentCount += 1;
}

const connection = openConnection(address, {
  onOpen() {
    const ticker = new Worker(new URL('./ticker.ts', import.meta.url), { workerData: { intervalUs, total } });
    ticker.on('message', (message: { startUs: number } | null) => {
      if (message !== null) startUs = message.startUs;
      else {
        dueCount += 1;
        sendNext(true);
      }
    });
    ticker.once('error', fail);
    ticker.once('exit', () => setTimeout(finish, GRACE_MS).unref());
  },
  onAnswer(status) {
    const now = nowUs();
    const index = sentCount - 1;
    isBusy = false;
    answered += 1;
    if (isMeasured(index)) {
      statuses[status] = (statuses[status] ?? 0) + 1;
      record(fromDue, now - dueAt(index));
      record(fromSent, now - sentAtUs);
    }
    if (answered === total) return finish();
    sendNext(false);
  },
  onError: fail,
});

function fail(error: Error): void {
  console.error(error.message);
  process.exit(1);
}

function finish(): void {
  connection.close();
  const ms = (from: Histogram): Record<string, number> => ({
    p50Ms: from.getValueAtPercentile(50) / 1000,
    p99Ms: from.getValueAtPercentile(99) / 1000,
    p999Ms: from.getValueAtPercentile(99.9) / 1000,
    maxMs: from.maxValue / 1000,
  });
  const unanswered = total - answered;
  console.log(JSON.stringify({ statuses, unanswered, due: ms(fromDue), sent: ms(fromSent), late: ms(late) }));
  process.exit(0);
}
