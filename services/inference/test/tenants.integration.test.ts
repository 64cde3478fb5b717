import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey, KEY_SET_SUBJECT, signKeySet } from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import type { GrpcClient } from './support/grpc-client.ts';
import { connectGrpc } from './support/grpc-client.ts';
import type { Answer, Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

const GRPC = '/inference.GRPCInferenceService';
const EVERYTHING = ['models:read', 'models:write', 'predict'];
const folder = mkdtempSync(join(tmpdir(), 'inference-tenants-test-'));
const pair = generateKeyPair();
let serving: Serving;
let grpc: GrpcClient;
let acme: Caller;
let bolt: Caller;
let home: Caller;

type Caller = {
  readonly authorization: string;
  ask(method: string, path: string, body?: unknown): Promise<Pick<Answer, 'status' | 'body'>>;
};

function callerOf(origin: string, key: string): Caller {
  const authorization = `Bearer ${key}`;
  return {
    authorization,
    async ask(method, path, body) {
      const response = await fetch(`${origin}${path}`, {
        method,
        headers: { authorization, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
    },
  };
}

beforeAll(async () => {
  const publicKeyFile = join(folder, 'gateway.pem');
  writeFileSync(publicKeyFile, pair.publicKeyPem);
  serving = await startServing({
    MILLRACE_AUTH_MODE: 'required',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: publicKeyFile,
  });
  const made = ['acme', 'bolt', 'default'].map((tenant) => {
    const { id, key, sha256 } = createApiKey();
    const about = {
      principal: `ann-of-${tenant}`,
      tenant,
      scopes: EVERYTHING,
      expiresAt: null,
      revokedAt: null,
    };
    return { key, record: { id, sha256, ...about } };
  });
  const keys = made.map(({ record }) => record);
  const signed = signKeySet({ issuedAt: new Date().toISOString(), keys }, pair.privateKeyPem);
  serving.bus.nc.subscribe(KEY_SET_SUBJECT, {
    callback: (_error, message) => void message.respond(JSON.stringify(signed)),
  });
  await serving.bus.nc.flush();
  [acme, bolt, home] = made.map(({ key }) => callerOf(serving.origin, key)) as [Caller, Caller, Caller];
  grpc = connectGrpc(serving.grpc);
  await serving.registry.add('shared', fixture('classifier'), { tenant: 'acme' });
  await serving.registry.add('shared', fixture('echo'), { tenant: 'bolt' });
  await serving.registry.add('secret', fixture('classifier'), { tenant: 'acme' });
  await serving.registry.add('ours', fixture('classifier'));
});

afterAll(async () => {
  grpc?.close();
  await serving?.stop();
  rmSync(folder, { recursive: true });
});

const classify = (by: Caller, modelId: string) =>
  by.ask('POST', '/predict', { modelId, features: { float_input: ROW } });
const infer = (by: Caller, model: string) =>
  by.ask('POST', `/v2/models/${model}/infer`, {
    inputs: [{ name: 'float_input', datatype: 'FP32', shape: [1, 10], data: ROW }],
  });

describe('models of two tenants', () => {
  test('may have the same name, and each tenant is answered by its own', async () => {
    expect((await classify(acme, 'shared')).status).toBe(200);
    expect((await infer(acme, 'shared')).status).toBe(200);
    // theirs has other inputs
    expect((await classify(bolt, 'shared')).body).toMatchObject({ code: expect.stringMatching(/_input$/) });
    const metadata = async (by: Caller) => (await by.ask('GET', '/v2/models/shared')).body;
    expect(await metadata(acme)).toMatchObject({ name: 'shared', inputs: [{ name: 'float_input' }] });
    expect(await metadata(bolt)).not.toMatchObject({ inputs: [{ name: 'float_input' }] });
    expect((await classify(home, 'ours')).status).toBe(200);
  });

  test.each(['secret', 'acme/secret', 'ours', 'default/ours'])(
    '%s is not there for another, by whatever name',
    async (name) => {
      const path = `/v2/models/${encodeURIComponent(name)}`;
      const refused = [
        await classify(bolt, name),
        await bolt.ask('GET', path),
        await bolt.ask('GET', `${path}/ready`),
        await bolt.ask('GET', `${path}/config`),
        await bolt.ask('GET', `${path}/stats`),
        await infer(bolt, encodeURIComponent(name)),
        await bolt.ask('POST', `/v2/repository/models/${encodeURIComponent(name)}/load`),
        await bolt.ask('POST', `/v2/repository/models/${encodeURIComponent(name)}/unload`),
        await bolt.ask('POST', '/v1/batch-jobs', { model: name, input: { prefix: 'batch-inputs/bolt/' } }),
      ];
      expect(refused.filter(({ status }) => status !== 404 && status !== 400)).toEqual([]);
      // the platform's own tenant has no way into others by a longer name either
      if (name.startsWith('acme')) expect((await classify(home, name)).status).toBe(400);
    },
  );

  test('over gRPC neither', async () => {
    const ask = (method: string, by: Caller, name: string) => {
      const text = Buffer.from(name);
      const message = Buffer.concat([Buffer.from([0x0a, text.length]), text]);
      return grpc.call(`${GRPC}/${method}`, message, { authorization: by.authorization });
    };
    for (const method of ['ModelReady', 'ModelMetadata', 'ModelConfig', 'ModelStatistics', 'ModelInfer']) {
      expect(await ask(method, bolt, 'secret')).toMatchObject({ code: 'model_not_found' });
      expect(await ask(method, home, 'acme/secret')).toMatchObject({ code: 'invalid_name' });
    }
    expect(await ask('ModelReady', acme, 'secret')).toMatchObject({ status: 0 });
    const index = await grpc.call(`${GRPC}/RepositoryIndex`, Buffer.alloc(0), {
      authorization: bolt.authorization,
    });
    const told = Buffer.concat(index.messages).toString('latin1');
    expect(told).toContain('shared');
    expect(told).not.toMatch(/secret|ours|acme/);
  });

  test('lists, statistics and reports show each tenant its own', async () => {
    const names = async (by: Caller) => ({
      index: ((await by.ask('POST', '/v2/repository/index')).body as unknown as { name: string }[]).map(
        ({ name }) => name,
      ),
      models: (await by.ask('GET', '/v2/models')).body.models,
      stats: ((await by.ask('GET', '/v2/models/stats')).body.model_stats as { name: string }[]).map(
        ({ name }) => name,
      ),
      loaded: ((await by.ask('GET', '/v1/inference/models')).body.models as { model: string }[]).map(
        ({ model }) => model,
      ),
    });
    const own = await names(bolt);
    for (const list of Object.values(own)) expect(new Set(list as string[])).toEqual(new Set(['shared']));
    const theirs = await names(acme);
    for (const list of Object.values(theirs))
      expect(new Set(list as string[])).toEqual(new Set(['secret', 'shared']));
  });

  test('nobody unloads the model of another', async () => {
    const { body } = await acme.ask('GET', '/v1/inference/models');
    const [loaded] = body.models as { modelVersionId: string; tenant: string }[];
    expect(loaded).toMatchObject({ tenant: 'acme' });
    const path = `/v1/inference/models/${loaded?.modelVersionId}`;
    expect((await bolt.ask('DELETE', path)).body).toMatchObject({ code: 'version_not_found' });
    // by name only their own goes
    expect((await bolt.ask('POST', '/v2/repository/models/shared/unload')).status).toBe(200);
    expect((await classify(acme, 'shared')).status).toBe(200);
    expect((await bolt.ask('POST', '/v2/repository/models/shared/load')).status).toBe(200);
    expect((await acme.ask('DELETE', path)).status).toBe(204);
  });

  test('predictions say whose they are', async () => {
    await classify(acme, 'shared');
    await eventually(async () =>
      expect(serving.batches.find(({ model }) => model === 'shared')).toMatchObject({ tenant: 'acme' }),
    );
  });
});
