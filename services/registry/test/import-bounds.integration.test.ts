import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Database } from '@millrace/database';
import { createDatabase } from '@millrace/database';
import type { ServiceProcess } from '@millrace/testing';
import { eventually } from '@millrace/testing';
import { sql } from 'drizzle-orm';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, sendFiles, startRegistryStack } from './support/registry-stack.ts';

const TIMEOUT_SECONDS = 3_600;
const folder = new URL('../../inference/test/fixtures/tfjs/graph/', import.meta.url);
const graph = readdirSync(folder).map((path) => ({ path, bytes: readFileSync(new URL(path, folder)) }));

let stack: RegistryStack;
let database: Database;
let converter: ServiceProcess;

// no worker: what is asked for stays open until something ends it
beforeAll(async () => {
  stack = await startRegistryStack({
    withInference: false,
    env: { MILLRACE_IMPORT_TIMEOUT_SECONDS: String(TIMEOUT_SECONDS) },
  });
  database = createDatabase({ url: stack.databaseUrl, applicationName: 'test' });
});
afterAll(async () => {
  await database?.close();
  await stack?.stop();
});

const send = (modelId: string, prefer?: string) =>
  sendFiles(stack.registry.origin, { modelId, version: 'v1', framework: 'onnx' }, graph, prefer);

const at = (id: string) => `${stack.registry.origin}/v1/imports/${id}`;
const view = async (id: string) => (await getJson(at(id))).body;
const cancel = (id: string) => postJson(`${at(id)}/cancel`, {});

async function begin(modelId: string): Promise<string> {
  const { status, body } = await send(modelId, 'respond-async');
  expect(status).toBe(202);
  return String(body.importId);
}

/** The import once the converter has a job for it. */
const withJob = (id: string) =>
  eventually(async () => {
    const now = await view(id);
    expect(now.conversion).not.toBeNull();
    return now;
  });

const jobIsCancelled = async (id: string): Promise<void> => {
  const { conversion } = await withJob(id);
  await eventually(async () => {
    const { body } = await getJson(`${converter.origin}${conversion}`);
    expect(body).toMatchObject({ state: 'cancelled' });
  });
};

/** The id of the only open import of a model. */
async function openImport(model: string): Promise<string> {
  const { rows } = await database.db.execute<{ id: string }>(
    sql`select id from registry.imports where model = ${model} and state = 'converting'`,
  );
  expect(rows).toHaveLength(1);
  return rows[0]?.id as string;
}

const passDeadline = (id: string) =>
  database.db.execute(sql`update registry.imports set deadline_at = now() where id = ${id}`);

describe('an import that is cancelled', () => {
  test('before the converter heard of it, leaves no job that runs', async () => {
    const id = await begin('early');
    expect(await cancel(id)).toMatchObject({ status: 200, body: { state: 'cancelled', conversion: null } });
    converter = await stack.startReplica('converter');
    await jobIsCancelled(id);
  });

  test('says so, stops its conversion, and makes room for the same upload', async () => {
    const id = await begin('stopped');
    const open = await withJob(id);
    expect(open).toMatchObject({ state: 'converting', attempts: 0, startedAt: null, finishedAt: null });
    expect(Date.parse(String(open.deadlineAt)) - Date.parse(String(open.createdAt))).toBeCloseTo(
      TIMEOUT_SECONDS * 1_000,
      -4,
    );
    const error = { code: 'import_cancelled', message: expect.stringContaining('upload the files again') };
    expect(await cancel(id)).toMatchObject({ status: 200, body: { id, state: 'cancelled', error } });
    expect(await cancel(id)).toMatchObject({ status: 200, body: { id, state: 'cancelled' } });
    await jobIsCancelled(id);
    expect(await begin('stopped')).not.toBe(id);
  });

  test('ends the upload that waits for it', async () => {
    const waiting = send('waiting');
    const id = await eventually(() => openImport('waiting'));
    await cancel(id);
    expect(await waiting).toMatchObject({ status: 409, body: { code: 'import_cancelled' } });
  });
});

test('an import whose time is over fails for its own reason, and its conversion is stopped', async () => {
  const waiting = send('late');
  const id = await eventually(() => openImport('late'));
  await withJob(id);
  await passDeadline(id);
  expect(await waiting).toMatchObject({ status: 504, body: { code: 'import_timeout' } });
  expect(await view(id)).toMatchObject({
    state: 'failed',
    error: {
      code: 'import_timeout',
      message: expect.stringContaining('no conversion worker has taken it up'),
    },
  });
  await jobIsCancelled(id);
  expect(await cancel(id)).toMatchObject({ status: 409, body: { code: 'import_not_open' } });
});

test('cancelling needs an import that is there', async () => {
  const { status, body } = await cancel('01890000-0000-7000-8000-000000000000');
  expect({ status, code: body.code }).toEqual({ status: 404, code: 'import_not_found' });
});
