import { expect, test } from '@jest/globals';
import { createApiKey, createLogger } from '../src/index.ts';

function capture() {
  const lines: string[] = [];
  const logger = createLogger({
    service: 'test',
    level: 'debug',
    destination: { write: (line) => void lines.push(line) },
  });
  return { logger, lines };
}

test('secrets are taken out at any depth, of errors and of URLs, and the line stays JSON', () => {
  const { logger, lines } = capture();
  const { key } = createApiKey();
  logger.info(
    { req: { headers: { authorization: `Bearer ${key}` } }, a: { b: { password: 'p"w\\d' } } },
    'one',
  );
  logger.error(
    { err: new Error('connect postgres://millrace:hunter2@127.0.0.1:5432/db failed') },
    `key ${key}`,
  );
  logger.info({ url: 'nats://services:s3cr3t@127.0.0.1:4222', secretAccessKey: 'abc' }, 'two');
  const text = lines.join('');
  for (const secret of [key, 'p\\"w', 'hunter2', 's3cr3t', '"abc"']) expect(text).not.toContain(secret);
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(parsed[0]).toMatchObject({
    level: 'info',
    service: 'test',
    msg: 'one',
    a: { b: { password: '[redacted]' } },
  });
  expect(parsed[2]).toMatchObject({ url: 'nats://[redacted]@127.0.0.1:4222' });
});
