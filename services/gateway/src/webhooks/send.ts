import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AllowedNetworks } from './target.ts';
import { createGuardedLookup, isAllowedAddress, literalHost } from './target.ts';
import type { Attempt } from './webhook.table.ts';

/** A receiver must have answered in full within this time. */
export const SEND_TIMEOUT_MS = 10_000;
/** Bytes of an answer that are read; the connection is then closed. */
const ANSWER_BYTES_MAX = 16 * 1024;
/** Characters of an answer that the delivery log keeps. */
const ANSWER_CHARS_MAX = 1_024;

export type Sender = (message: {
  url: string;
  headers: Record<string, string>;
  body: Uint8Array;
}) => Promise<Attempt>;

/** Sends one POST on a connection of its own and follows no redirect. Never rejects: what went wrong is the outcome. */
export function createSender(networks: AllowedNetworks, timeoutMs = SEND_TIMEOUT_MS): Sender {
  const lookup = createGuardedLookup(networks);
  return async (message) => {
    const at = new Date().toISOString();
    const startedMs = performance.now();
    const { status, error, answer } = await post(message, lookup, networks, timeoutMs);
    return { at, status, error, answer, latencyMs: Math.round((performance.now() - startedMs) * 10) / 10 };
  };
}

type Outcome = Pick<Attempt, 'status' | 'error' | 'answer'>;

function post(
  message: Parameters<Sender>[0],
  lookup: ReturnType<typeof createGuardedLookup>,
  networks: AllowedNetworks,
  timeoutMs: number,
): Promise<Outcome> {
  const literal = literalHost(message.url);
  if (literal !== undefined && !isAllowedAddress(literal, networks))
    return Promise.resolve({ status: null, error: `${literal} is not a public address`, answer: '' });
  return new Promise((resolve) => {
    const send = message.url.startsWith('https:') ? httpsRequest : httpRequest;
    const signal = AbortSignal.timeout(timeoutMs);
    let status: number | null = null;
    const fail = (error: Error): void => {
      const text = signal.aborted ? `no whole answer within ${timeoutMs} ms` : reasonOf(error);
      resolve({ status, error: text, answer: '' });
    };
    const outgoing = send(message.url, {
      method: 'POST',
      agent: false,
      lookup,
      signal,
      headers: {
        ...message.headers,
        'content-type': 'application/json',
        'content-length': message.body.byteLength,
        'user-agent': 'millrace-webhooks',
      },
    });
    outgoing.on('error', fail);
    outgoing.on('response', (response) => {
      status = response.statusCode ?? null;
      const pieces: Buffer[] = [];
      let sizeBytes = 0;
      const end = (): void => {
        const answer = Buffer.concat(pieces).toString('utf8').slice(0, ANSWER_CHARS_MAX);
        // what Postgres cannot keep as text
        resolve({ status, error: null, answer: answer.replaceAll('\u0000', ' ') });
        outgoing.destroy();
      };
      response.on('error', fail);
      response.on('end', end);
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        sizeBytes += piece.length;
        if (sizeBytes >= ANSWER_BYTES_MAX) end();
      });
    });
    outgoing.end(message.body);
  });
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return (code === undefined ? error.message : `${error.message} (${code})`).slice(0, 500);
}
