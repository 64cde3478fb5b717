import { afterAll, expect, test } from '@jest/globals';
import { isBucketWritable } from '@millrace/embedded';
import { AwsClient } from 'aws4fetch';
import pg from 'pg';
import {
  createFaultProxy,
  createTestBucket,
  createTestDatabase,
  eventually,
  startNats,
  startS3,
  testInfra,
} from '../src/index.ts';

const cleanUp: Array<() => Promise<void>> = [];
afterAll(async () => {
  for (const step of cleanUp.reverse()) await step();
});

test('each test database is empty and apart from the others', async () => {
  const [one, two] = [await createTestDatabase(), await createTestDatabase()];
  const client = new pg.Client(one.url);
  await client.connect();
  await client.query('create table only_here (id int)');
  await client.end();
  const other = new pg.Client(two.url);
  await other.connect();
  const tables = await other.query("select 1 from pg_tables where schemaname = 'public'");
  await other.end();
  expect(tables.rowCount).toBe(0);
  await one.drop();
  await two.drop();
});

test('dropping a database names a connection that the test forgot', async () => {
  const database = await createTestDatabase();
  const client = new pg.Client({ connectionString: database.url, application_name: 'forgetful' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('select 42');
  await expect(database.drop()).rejects.toThrow(/connections left open.*forgetful.*select 42/);
});

test('a bucket takes objects from its key alone, and is gone once dropped', async () => {
  const bucket = await createTestBucket();
  expect(await isBucketWritable(bucket)).toBe(true);
  expect(await isBucketWritable({ ...bucket, secretAccessKey: 'wrong' })).toBe(false);
  await bucket.drop();
  const { endpoint, region, accessKeyId, secretAccessKey } = bucket;
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3' });
  expect((await client.fetch(`${endpoint}/${bucket.bucket}`, { method: 'HEAD' })).status).toBe(404);
});

test('eventually gives the value, or the last reason', async () => {
  let calls = 0;
  const value = await eventually(() => {
    calls += 1;
    if (calls < 3) throw new Error('not yet');
    return calls;
  });
  expect(value).toBe(3);
  const never = eventually(() => Promise.reject(new Error('no such row')), { timeoutMs: 60, intervalMs: 10 });
  await expect(never).rejects.toThrow('not so within 180 ms: no such row');
});

test('a private NATS keeps its address over kill and restart, and SIGSTOP silences it', async () => {
  const nats = await startNats();
  cleanUp.push(() => nats.stop());
  const greeting = (): Promise<string> => readGreeting(nats.servicesUrl);
  expect(await greeting()).toMatch(/^INFO .*"jetstream":true/);
  await nats.killHard();
  await expect(greeting()).rejects.toThrow('ECONNREFUSED');
  await nats.start();
  expect(await greeting()).toMatch(/^INFO /);
  await nats.pause();
  await expect(greeting()).rejects.toThrow('silent');
  nats.resume();
  expect(await greeting()).toMatch(/^INFO /);
});

test('a private object store keeps its objects, address and keys over SIGKILL', async () => {
  const s3 = await startS3();
  cleanUp.push(() => s3.stop());
  const { endpoint, region, bucket, workerAccessKeyId, workerSecretAccessKey } = s3;
  const credentials = { accessKeyId: workerAccessKeyId, secretAccessKey: workerSecretAccessKey };
  const worker = new AwsClient({ ...credentials, region, service: 's3', retries: 0 });
  const object = `${endpoint}/${bucket}/kept`;
  expect((await worker.fetch(object, { method: 'PUT', body: 'bytes' })).status).toBe(200);
  await s3.killHard();
  await expect(worker.fetch(object)).rejects.toThrow();
  await s3.start();
  expect(await (await worker.fetch(object)).text()).toBe('bytes');
});

test('the fault proxy carries, cuts, stalls, delays and heals', async () => {
  const { nats } = testInfra();
  const proxy = await createFaultProxy(nats.servicesUrl);
  cleanUp.push(() => proxy.close());
  const led = proxy.through(nats.servicesUrl);
  expect(await readGreeting(led)).toMatch(/^INFO /);
  proxy.cut();
  await expect(readGreeting(led)).rejects.toThrow(/ECONNRESET|closed/);
  proxy.halfOpen();
  await expect(readGreeting(led)).rejects.toThrow('silent');
  proxy.heal();
  proxy.setLatency(200);
  const start = performance.now();
  expect(await readGreeting(led)).toMatch(/^INFO /);
  expect(performance.now() - start).toBeGreaterThan(190);
});

async function readGreeting(url: string): Promise<string> {
  const { connect } = await import('node:net');
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.setTimeout(400, () => socket.destroy(new Error('silent')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
    socket.once('data', (data) => {
      resolve(data.toString());
      socket.destroy();
    });
  });
}
