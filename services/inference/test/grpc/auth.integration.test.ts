import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey, KEY_SET_SUBJECT, signKeySet } from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import type { GrpcClient } from '../support/grpc-client.ts';
import { connectGrpc } from '../support/grpc-client.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';

const SERVICE = '/inference.GRPCInferenceService';
const OPEN = [`${SERVICE}/ServerLive`, `${SERVICE}/ServerReady`, '/grpc.health.v1.Health/Check'];
const CLOSED = [
  'ModelReady',
  'ServerMetadata',
  'ModelMetadata',
  'ModelInfer',
  'ModelStreamInfer',
  'ModelConfig',
  'ModelStatistics',
  'RepositoryIndex',
  'RepositoryModelLoad',
  'RepositoryModelUnload',
].map((name) => `${SERVICE}/${name}`);
/** A message whose first field is the text "guarded", which most requests take for the name of the model. */
const NAMED = Buffer.from('\x0a\x07guarded');

const pair = generateKeyPair();
const reader = createApiKey('reader');
const folder = mkdtempSync(join(tmpdir(), 'grpc-auth-test-'));
let serving: Serving;
let client: GrpcClient;

beforeAll(async () => {
  const publicKeyFile = join(folder, 'gateway.pem');
  writeFileSync(publicKeyFile, pair.publicKeyPem);
  serving = await startServing({
    MILLRACE_AUTH_MODE: 'required',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: publicKeyFile,
  });
  await serving.registry.add('guarded', fixture('classifier'));
  client = connectGrpc(serving.grpc);
});

afterAll(async () => {
  client?.close();
  await serving?.stop();
  rmSync(folder, { recursive: true });
});

test('without a key only liveness, readiness and health are answered', async () => {
  for (const path of OPEN) expect(await client.call(path, Buffer.alloc(0))).toMatchObject({ status: 0 });
  const reflection = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  for (const path of [...CLOSED, reflection]) {
    expect(await client.call(path, NAMED)).toMatchObject({ status: 16, code: 'auth_required' });
    const wrong = { authorization: `Bearer ${createApiKey('reader').key.slice(0, -1)}` };
    expect(await client.call(path, NAMED, wrong)).toMatchObject({ status: 16, code: 'auth_required' });
  }
});

test('a key opens what its scopes allow, and nothing else', async () => {
  const record = { id: 'reader', principal: 'reader', tenant: 'default', scopes: ['models:read'] };
  const keys = [{ ...record, sha256: reader.sha256, expiresAt: null, revokedAt: null }];
  const signed = signKeySet({ issuedAt: new Date().toISOString(), keys }, pair.privateKeyPem);
  serving.bus.nc.subscribe(KEY_SET_SUBJECT, {
    callback: (_error, message) => void message.respond(JSON.stringify(signed)),
  });
  const headers = { authorization: `Bearer ${reader.key}` };
  await eventually(async () =>
    expect(await client.call(`${SERVICE}/ServerMetadata`, Buffer.alloc(0), headers)).toMatchObject({
      status: 0,
    }),
  );
  for (const name of ['ModelReady', 'ModelMetadata', 'ModelConfig', 'RepositoryIndex'])
    expect(await client.call(`${SERVICE}/${name}`, NAMED, headers)).toMatchObject({ status: 0 });
  for (const name of ['ModelInfer', 'ModelStreamInfer', 'RepositoryModelLoad', 'RepositoryModelUnload']) {
    const answer = await client.call(`${SERVICE}/${name}`, NAMED, headers);
    expect(answer).toMatchObject({ status: 7, code: 'scope_missing' });
  }
});
