import type { ServerResponse } from 'node:http';
import type { Bus } from '@millrace/bus';
import { HEADER, messageHeaders } from '@millrace/bus';
import { newId } from '@millrace/contracts';
import { headers as createHeaders } from '@nats-io/transport-node';
import { startBackend } from '../fixtures.ts';

/** What a receiver got. */
export type Received = { path: string; headers: Record<string, string>; body: string; event: CloudEvent };
type CloudEvent = { id: string; type: string; subject: string; data: Record<string, unknown> };

/** Answers a request of a webhook; 200 unless a test says otherwise. */
export type Answer = (request: Received, response: ServerResponse) => void;

/** A server that webhooks send to; each test has a path of its own. */
export async function startReceiver() {
  const received: Received[] = [];
  const answers = new Map<string, Answer>();
  const backend = await startBackend((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces).toString();
      const path = request.url ?? '';
      const one = {
        path,
        headers: request.headers as Record<string, string>,
        body,
        event: JSON.parse(body) as CloudEvent,
      };
      received.push(one);
      const answer = answers.get(path);
      if (answer === undefined) response.end('thank you');
      else answer(one, response);
    });
  });
  return {
    origin: backend.origin,
    close: backend.close,
    answer: (path: string, answer: Answer) => void answers.set(path, answer),
    accept: (path: string) => void answers.delete(path),
    at: (path: string): Received[] => received.filter((one) => one.path === path),
  };
}
export type Receiver = Awaited<ReturnType<typeof startReceiver>>;

/** Publishes a fact as a service's outbox would; gives its id. */
export async function publishEvent(
  bus: Bus,
  event: { name: string; subject: string; data?: object; tenant?: string; id?: string; messageId?: string },
): Promise<string> {
  const { name, subject, data = {}, tenant, id = newId(), messageId = id } = event;
  const about = { id, type: `dev.millrace.${name}.v1`, source: 'test', subject, time: new Date() };
  const headers = createHeaders();
  for (const [key, value] of Object.entries(messageHeaders({ ...about, aggregateVersion: 1 })))
    headers.set(key, value);
  if (tenant !== undefined) headers.set(HEADER.tenant, tenant);
  const subjectName = `millrace.evt.${name}.v1`;
  await bus.js.publish(subjectName, JSON.stringify(data), { headers, msgID: messageId });
  return id;
}
