import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Context } from '../command.ts';
import type { Servers } from '../connection.ts';
import type { Check } from './check.ts';
import { Skipped } from './check.ts';

const NATS_VERSION_MIN = '2.12.7';
const POSTGRES_MAJOR_MIN = 15;
/** Leases and expiry compare clocks; more than this apart and they misjudge. */
const CLOCK_SKEW_MS_MAX = 2_000;
const PROBE_PREFIX = 'doctor';

/** Checks of Postgres, NATS and the object store, with the addresses of the connection file. */
export function checkServers({ connection }: Context): Check[] {
  const with_ = (run: (servers: Servers) => Promise<string>) => async () => {
    if (connection.servers === undefined)
      throw new Skipped('no connection file of a running platform on this machine');
    return await run(connection.servers);
  };
  return [
    {
      name: 'postgres',
      fix: `use Postgres ${POSTGRES_MAJOR_MIN} or newer; see its log`,
      run: with_(checkPostgres),
    },
    { name: 'clock', fix: 'set the clocks of the machines by NTP', run: with_(checkClock) },
    { name: 'nats', fix: `use nats-server ${NATS_VERSION_MIN} or newer; see its log`, run: with_(checkNats) },
    {
      name: 'jetstream',
      fix: 'see the log of nats: is its disk full, or its store damaged?',
      run: with_(checkJetStream),
    },
    {
      name: 's3 if-none-match',
      fix: 'use an object store with conditional writes',
      run: with_(checkConditionalWrite),
    },
    {
      name: 's3 checksum',
      fix: 'use an object store that checks x-amz-checksum-sha256',
      run: with_(checkChecksum),
    },
  ];
}

async function withPostgres<T>(
  servers: Servers,
  use: (query: (sql: string) => Promise<string>) => Promise<T>,
): Promise<T> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: servers.database, connectionTimeoutMillis: 3_000 });
  await client.connect();
  try {
    return await use(async (sql) => String((await client.query(sql)).rows[0]?.value));
  } finally {
    await client.end();
  }
}

async function checkPostgres(servers: Servers): Promise<string> {
  return await withPostgres(servers, async (query) => {
    const version = await query("select current_setting('server_version') as value");
    if (Number.parseInt(version, 10) < POSTGRES_MAJOR_MIN) throw new Error(`version ${version}`);
    return version;
  });
}

async function checkClock(servers: Servers): Promise<string> {
  return await withPostgres(servers, async (query) => {
    const beforeMs = Date.now();
    const serverMs = Number(await query('select extract(epoch from clock_timestamp()) * 1000 as value'));
    const skewMs = Math.round(serverMs - (beforeMs + Date.now()) / 2);
    if (Math.abs(skewMs) > CLOCK_SKEW_MS_MAX) throw new Error(`${skewMs} ms apart from Postgres`);
    return `${Math.abs(skewMs)} ms apart from Postgres`;
  });
}

async function withNats<T>(
  servers: Servers,
  use: (nc: Awaited<ReturnType<typeof connectNats>>) => Promise<T>,
): Promise<T> {
  const nc = await connectNats(servers);
  try {
    return await use(nc);
  } finally {
    await nc.close();
  }
}

async function connectNats(servers: Servers) {
  const { connect } = await import('@nats-io/transport-node');
  const url = new URL(servers.nats);
  const { username: user, password: pass } = url;
  return await connect({
    servers: url.host,
    name: 'millrace doctor',
    inboxPrefix: '_INBOX_services',
    timeout: 3_000,
    ...(user === '' ? {} : { user: decodeURIComponent(user), pass: decodeURIComponent(pass) }),
  });
}

async function checkNats(servers: Servers): Promise<string> {
  return await withNats(servers, async (nc) => {
    const version = nc.info?.version ?? '0';
    if (isOlder(version, NATS_VERSION_MIN)) throw new Error(`version ${version}`);
    return version;
  });
}

async function checkJetStream(servers: Servers): Promise<string> {
  const { jetstream } = await import('@nats-io/jetstream');
  return await withNats(servers, async (nc) => {
    const startedMs = performance.now();
    const ack = await jetstream(nc, { timeout: 5_000 }).publish(
      `millrace.tel.${PROBE_PREFIX}.${hostname().replaceAll('.', '-')}`,
      '{}',
    );
    return `message ${ack.seq} of ${ack.stream} on disk in ${Math.round(performance.now() - startedMs)} ms`;
  });
}

async function withS3(
  { s3 }: Servers,
  use: (put: (more: object) => Promise<void>) => Promise<string>,
): Promise<string> {
  const { S3Client, PutObjectCommand, DeleteObjectCommand } = await import('@aws-sdk/client-s3');
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    forcePathStyle: true,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  const at = { Bucket: s3.bucket, Key: `${PROBE_PREFIX}/${randomBytes(8).toString('hex')}` };
  try {
    return await use(
      async (more) => void (await client.send(new PutObjectCommand({ ...at, Body: 'probe', ...more }))),
    );
  } finally {
    await client.send(new DeleteObjectCommand(at)).catch(() => undefined);
    client.destroy();
  }
}

async function checkConditionalWrite(servers: Servers): Promise<string> {
  return await withS3(servers, async (put) => {
    await put({ IfNoneMatch: '*' });
    await refused(() => put({ IfNoneMatch: '*' }), 'it overwrote an object in spite of If-None-Match');
    return 'an existing object is kept';
  });
}

async function checkChecksum(servers: Servers): Promise<string> {
  return await withS3(servers, async (put) => {
    const wrong = Buffer.alloc(32, 1).toString('base64');
    await refused(() => put({ ChecksumSHA256: wrong }), 'it took an object whose SHA-256 is another');
    return 'a wrong digest is refused';
  });
}

/** The write must fail with a 4xx of the store itself; any other failure is one of the store. */
async function refused(write: () => Promise<void>, otherwise: string): Promise<void> {
  try {
    await write();
  } catch (error) {
    const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode ?? 0;
    if (status >= 400 && status < 500) return;
    throw error;
  }
  throw new Error(otherwise);
}

function isOlder(version: string, minimum: string): boolean {
  const numbers = (text: string) => text.split(/[.-]/).slice(0, 3).map(Number);
  const [left, right] = [numbers(version), numbers(minimum)];
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return (left[i] ?? 0) < (right[i] ?? 0);
  return false;
}
