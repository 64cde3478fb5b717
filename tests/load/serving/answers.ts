import type { BenchModel } from './models.ts';
import type { Dialect, Payload } from './payloads.ts';
import { readAnswer } from './payloads.ts';

/** Largest difference to onnxruntime's answer that still counts as right; the servers differ by some 1e-7. */
const TOLERANCE = 1e-4;
const AT_ONCE = 64;
const BYTES_AT_ONCE_MAX = 16 * 1024 * 1024;
const ANSWER_TIMEOUT_MS = 60_000;

/** Where requests go, with what is sent along. */
export type Target = { origin: string; headers: Record<string, string> };

/** Sends one request; throws an Error unless the answer is right, else returns its largest difference. */
export async function askOnce(
  target: Target,
  path: string,
  dialect: Dialect,
  payload: Payload,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<number> {
  const response = await fetch(`${target.origin}${path}`, {
    method: 'POST',
    headers: { ...target.headers, ...payload.headers },
    body: payload.body as Buffer<ArrayBuffer>,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const body = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${body.toString('utf8', 0, 300)}`);
  const given = readAnswer(dialect, response.headers, body);
  const { expected } = payload;
  if (given.length !== expected.length)
    throw new Error(`${path} answered ${given.length} numbers, not ${expected.length}`);
  const difference = given.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (expected[i] ?? 0))),
    0,
  );
  if (!(difference <= TOLERANCE)) throw new Error(`${path} differs from onnxruntime by ${difference}`);
  return difference;
}

/** Asks for every row alone and then many at once, where joined requests could be mixed up; the largest difference. */
export async function checkAnswers(
  target: Target,
  path: string,
  dialect: Dialect,
  payloads: readonly Payload[],
): Promise<number> {
  let worst = 0;
  for (const payload of payloads) worst = Math.max(worst, await askOnce(target, path, dialect, payload));
  const size = payloads[0]?.body.length ?? 1;
  const atOnce = Math.max(2, Math.min(AT_ONCE, Math.floor(BYTES_AT_ONCE_MAX / size)));
  const many = Array.from({ length: atOnce }, (_, i) => payloads[i % payloads.length] as Payload);
  const differences = await Promise.all(many.map((payload) => askOnce(target, path, dialect, payload)));
  return Math.max(worst, ...differences);
}

/** The model of a cell; throws when the generator did not make it. */
export function modelOf(models: ReadonlyMap<string, BenchModel>, name: string): BenchModel {
  const model = models.get(name);
  if (!model) throw new Error(`no model '${name}'`);
  return model;
}
