import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey, KEY_SET_SUBJECT, signKeySet } from '@millrace/service-kit';
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
const provider = createProvider();
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
  const identities = { tenants: ['default'], disabled: [], issuers: [provider.record] };
  const issuedAt = new Date().toISOString();
  const signed = signKeySet({ issuedAt, keys, identities }, pair.privateKeyPem);
  serving.bus.nc.subscribe(KEY_SET_SUBJECT, {
    callback: (_error, message) => void message.respond(JSON.stringify(signed)),
  });
  const headers = { authorization: `Bearer ${reader.key}` };
  await serving.bus.nc.flush();
  // the service asks for a key that it does not know
  expect(await client.call(`${SERVICE}/ServerMetadata`, Buffer.alloc(0), headers)).toMatchObject({
    status: 0,
  });
  for (const name of ['ModelReady', 'ModelMetadata', 'ModelConfig', 'RepositoryIndex'])
    expect(await client.call(`${SERVICE}/${name}`, NAMED, headers)).toMatchObject({ status: 0 });
  for (const name of ['ModelInfer', 'ModelStreamInfer', 'RepositoryModelLoad', 'RepositoryModelUnload']) {
    const answer = await client.call(`${SERVICE}/${name}`, NAMED, headers);
    expect(answer).toMatchObject({ status: 7, code: 'scope_missing' });
  }
});

test('a token of an identity provider opens the same, on this port and on that of HTTP', async () => {
  const headers = { authorization: `Bearer ${provider.token('ann')}` };
  // two at once, while it is new
  const answers = await Promise.all(
    ['ModelReady', 'ModelMetadata'].map((name) => client.call(`${SERVICE}/${name}`, NAMED, headers)),
  );
  expect(answers).toMatchObject([{ status: 0 }, { status: 0 }]);
  expect(await client.call(`${SERVICE}/ModelInfer`, NAMED, headers)).toMatchObject({ status: 7 });
  const forged = { authorization: `${headers.authorization.slice(0, -2)}AA` };
  const refused = await client.call(`${SERVICE}/ModelReady`, NAMED, forged);
  expect(refused).toMatchObject({ status: 16, code: 'token_invalid' });
  const over = async (given: Record<string, string>) =>
    (await fetch(`${serving.origin}/v2/models/guarded`, { headers: given })).status;
  expect([await over(headers), await over(forged)]).toEqual([200, 401]);
});

/** An identity provider as the key set names it, whose tokens make viewers. */
function createProvider() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const record = {
    name: 'corp',
    issuer: 'https://login.example',
    audiences: ['millrace'],
    algorithms: ['ES256' as const],
    clockSkewSeconds: 0,
    claims: { tenant: { value: 'default' }, roles: { always: ['viewer' as const] } },
    keys: [{ kty: 'EC' as const, kid: 'k1', crv: 'P-256', x, y }],
  };
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    record,
    token(sub: string): string {
      const iat = Math.floor(Date.now() / 1_000);
      const claims = { iss: record.issuer, aud: 'millrace', sub, iat, exp: iat + 60 };
      const text = `${encode({ alg: 'ES256', kid: 'k1' })}.${encode(claims)}`;
      const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return `${text}.${signature.toString('base64url')}`;
    },
  };
}
