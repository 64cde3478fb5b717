import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import {
  createAuth,
  createHttp,
  createKeySetHolder,
  createLogger,
  createMetrics,
  inCallSpan,
  startTracing,
} from '../src/index.ts';

test('a request reaches the collector as a span of the trace its caller began', async () => {
  const received: string[] = [];
  const collector = createServer((request, response) => {
    request.setEncoding('utf8');
    let body = '';
    request.on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      received.push(`${request.url} ${body}`);
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const tracing = await startTracing({ service: 'traced', endpoint });
  const logger = createLogger({ service: 'traced', level: 'silent' });
  const app = await createHttp({
    service: 'traced',
    logger,
    metrics: createMetrics({ service: 'traced', withDefaults: false }),
    auth: createAuth({ mode: 'required', keySet: createKeySetHolder(), logger }),
    readiness: {},
    openapi: { title: 'Traced' },
  });
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const callTraceId = '1bf7651916cd43dd8448eb211c80319d';
  await app.inject({ url: '/health/live', headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } });
  const call = {
    service: 'traced',
    method: 'some.Service/Call',
    metadata: { traceparent: `00-${callTraceId}-b7ad6b7169203331-01` },
  };
  expect(await inCallSpan(call, async () => 'done')).toBe('done');
  await expect(inCallSpan(call, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  await app.close();
  await tracing.close();
  collector.close();
  collector.closeAllConnections();
  const spans = received.join('\n');
  expect(spans).toContain('/v1/traces');
  expect(spans).toContain(traceId);
  expect(spans).toContain('GET /health/live');
  expect(spans).toContain(callTraceId);
  expect(spans).toContain('some.Service/Call');
});
