import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventName, matchesType } from '../../src/webhooks/event-types.ts';
import { createSender } from '../../src/webhooks/send.ts';
import { isAllowedAddress, parseNetworks } from '../../src/webhooks/target.ts';
import type { Backend } from '../fixtures.ts';
import { startBackend } from '../fixtures.ts';

let backend: Backend;
let requests = 0;
beforeAll(async () => {
  backend = await startBackend((_request, response) => {
    requests += 1;
    response.end();
  });
});
afterAll(async () => await backend.close());

test.each([
  ['93.184.216.34', true],
  ['2606:2800:220:1:248:1893:25c8:1946', true],
  ['127.0.0.1', false],
  ['10.1.2.3', false],
  ['172.16.0.1', false],
  ['192.168.1.1', false],
  ['100.100.100.200', false],
  ['169.254.169.254', false],
  ['168.63.129.16', false],
  ['0.0.0.0', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['::1', false],
  ['::', false],
  ['fe80::1', false],
  ['fd00:ec2::254', false],
  ['::ffff:127.0.0.1', false],
  ['::ffff:169.254.169.254', false],
  ['64:ff9b::7f00:1', false],
  ['2002:7f00:1::', false],
  ['::7f00:1', false],
  ['localhost', false],
])('a connection to %s: allowed %s', (address, isAllowed) => {
  expect(isAllowedAddress(address, [])).toBe(isAllowed);
});

test('private networks are open only by name', () => {
  const networks = parseNetworks('10.0.0.0/8, ::1/128');
  for (const address of ['10.200.0.1', '::1', '::ffff:10.0.0.1'])
    expect(isAllowedAddress(address, networks)).toBe(true);
  for (const address of ['11.0.0.1', '127.0.0.1', '::2', 'fd00::1'])
    expect(isAllowedAddress(address, networks)).toBe(address === '11.0.0.1');
  expect(() => parseNetworks('10.0.0.0')).toThrow(/no network/);
});

test('a name that leads to a private address is refused as the connection is made, and so are other spellings', async () => {
  const port = new URL(backend.origin).port;
  const send = createSender([]);
  const message = { headers: {}, body: Buffer.from('{}') };
  for (const host of ['localhost', '127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', '127.1', '0']) {
    const outcome = await send({ ...message, url: `http://${host}:${port}/` });
    expect([host, outcome]).toMatchObject([
      host,
      { status: null, error: expect.stringMatching(/not a public address/) },
    ]);
  }
  expect(requests).toBe(0);
  const allowed = await createSender(parseNetworks('127.0.0.0/8,::1/128'))({
    ...message,
    url: `http://localhost:${port}/`,
  });
  expect(allowed).toMatchObject({ status: 200 });
});

test.each([
  [['*'], 'a.b', true],
  [['model-version.*'], 'model-version.registered', true],
  [['model-version.*'], 'model-import.requested', false],
  [['*.deleted'], 'rollout.deleted', true],
  [['*.deleted'], 'rollout.deleted-later', false],
  [['a*b*c'], 'a-b-b-c', true],
  [['a*b*c'], 'a-c-b', false],
  [['ab*ba'], 'aba', false],
  [['pipeline.failed'], 'pipeline.failed', true],
  [['x', 'y.*'], 'y.z', true],
])('%j fits %s: %s', (patterns, name, fits) => {
  expect(matchesType(patterns, name)).toBe(fits);
});

test('names of events and patterns that would take a naive matcher for ever', () => {
  expect(eventName('dev.millrace.model-version.stage-changed.v1')).toBe('model-version.stage-changed');
  expect(matchesType([`${'*a'.repeat(49)}*b`], 'a'.repeat(5_000))).toBe(false);
});
