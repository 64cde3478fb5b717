import type { ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client, JobEvent } from '../src/index.ts';
import { createClient } from '../src/index.ts';

const event = (name: string, data: object) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** What the server does each time the stream is opened: it breaks off, is away, then tells the end. */
const turns: ((response: ServerResponse) => void)[] = [
  (response) => {
    response
      .writeHead(200)
      .write(event('state', { id: 'j', state: 'running' }) + event('progress', { step: 3 }));
    setTimeout(() => response.destroy(), 20);
  },
  (response) =>
    void response.writeHead(503).end(JSON.stringify({ code: 'dependency_unavailable', detail: 'away' })),
  (response) => {
    response.writeHead(200);
    response.end(
      `: keep-alive\n\n${event('log', { message: 'hi' })}${event('new-kind', {})}${event('state', { id: 'j', state: 'succeeded' })}`,
    );
  },
];
const server = createServer((request, response) => {
  if (request.url === '/v1/training/jobs/gone/events') {
    response
      .writeHead(404)
      .end(JSON.stringify({ code: 'job_not_found', detail: 'No job.', instance: 'request-1' }));
  } else turns.shift()?.(response);
});
let client: Client;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = createClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

test('following a job goes on over broken connections until its end', async () => {
  const seen: JobEvent[] = [];
  for await (const news of client.training.follow('j')) seen.push(news);
  expect(seen.map(({ type }) => type)).toEqual(['state', 'progress', 'log', 'state']);
  expect(turns).toHaveLength(0);
});

test('a job that is not there is an error at once, with the request to look for', async () => {
  const read = (async () => {
    for await (const news of client.training.follow('gone')) throw new Error(`unexpected ${news.type}`);
  })();
  await expect(read).rejects.toMatchObject({
    code: 'job_not_found',
    message: 'No job.',
    details: { requestId: 'request-1' },
  });
});
