import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { eventually, isLongRun, runClient } from '@millrace/testing';
import pg from 'pg';
import { unprovenEndpoints } from '../support/mlflow-support.ts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, postJson, startRegistryStack } from '../support/registry-stack.ts';
import { ask } from '../support/rollout-requests.ts';

const CLIENT_TIMEOUT_MS = 180_000;
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** Newest first; the older one beside it in long runs. */
const CLIENTS: readonly [number, 'clients-mlflow3' | 'clients-mlflow2'][] = isLongRun
  ? [
      [3, 'clients-mlflow3'],
      [2, 'clients-mlflow2'],
    ]
  : [[3, 'clients-mlflow3']];

let stack: RegistryStack;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
}, 90_000);
afterAll(() => stack?.stop());

test.each(CLIENTS)(
  "MLflow %i's client registers, points, moves, searches and loads models as it is",
  async (major, environment) => {
    const { origin } = stack.registry;
    const guarded = `${origin}/v1/models/guarded ${major}`;
    await postJson(`${origin}/v1/models`, { name: `guarded ${major}` });
    const policy = {
      allowPickle: false,
      protectedAliases: ['champion'],
      approvalsRequired: { production: 1 },
    };
    await ask('PUT', `${guarded}/policy`, {}, policy);
    const name = `scores ${major}`;
    const program = file('clients/registry_client.py');
    const seen = (await runClient(environment, program, [origin, file('../fixtures/model.onnx')])) as Record<
      string,
      unknown
    >;
    expect(seen).toEqual({
      version: expect.stringMatching(new RegExp(`^${major}\\.`)),
      registered: ['2', 'READY', '3'],
      logged: true,
      first: ['first', 'yes', false, true],
      digests: [
        'millrace.label',
        'millrace.package_digest',
        'millrace.root_digest',
        'millrace.servable',
        'millrace.signature',
        'millrace.signature_key',
      ],
      servable: ['false', 'false', 'true'],
      alias: ['1', ['champion']],
      loaded: [
        [0, 1, 0, 1],
        [0, 1, 0, 1],
      ],
      stages: ['Production', 'Archived'],
      latest: [
        ['Archived', '1'],
        ['None', '3'],
        ['Production', '2'],
      ],
      copied: ['1', `models:/${name}/3`],
      model: ['Scores.', { team: 'risk' }, { champion: '1' }],
      models: [name, `${name} copy`],
      tagged: [name],
      ordered: ['1', '2', '3'],
      ofRun: ['1', '2', '3'],
      byTag: ['2'],
      paged: [[expect.any(String), expect.any(String)], [expect.any(String)]],
      taken: expect.stringMatching(/^RESOURCE_ALREADY_EXISTS/),
      missing: expect.stringMatching(/^RESOURCE_DOES_NOT_EXIST/),
      renamed: expect.stringMatching(/^RESOURCE_CONFLICT: .*predictions name it/),
      own: expect.stringMatching(/^INVALID_PARAMETER_VALUE: .*cannot be set/),
      nowhere: expect.stringMatching(/^INVALID_PARAMETER_VALUE: .*Invalid model version source/),
      inUse: expect.stringMatching(/^RESOURCE_CONFLICT: .*is in production/),
      deleted: expect.stringMatching(/^RESOURCE_DOES_NOT_EXIST/),
      emptied: expect.arrayContaining([name]),
      noPickles: expect.stringMatching(
        /Model version creation failed.*unsafe_model: Policy takes no model that holds pickles; model\.(pkl|skops)/s,
      ),
      protected: expect.stringMatching(/^PERMISSION_DENIED: .*Alias champion needs 1 approvals/),
      unapproved: expect.stringMatching(/^PERMISSION_DENIED: .*Stage production needs 1 approvals/),
    });
    expect(seen.emptied).not.toContain(`full ${major}`);

    // the same version elsewhere: signed bytes that verify, the sklearn one kept but not served, the ONNX one served
    const version = (label: string) => `${origin}/v1/models/${encodeURIComponent(name)}/versions/${label}`;
    expect((await postJson(`${version('2')}/verify`, {})).body).toMatchObject({ verified: true });
    expect((await getJson(version('2'))).body).toMatchObject({
      framework: 'sklearn',
      lineage: { source: 'mlflow', pickles: [expect.stringMatching(/^model\./)] },
    });
    const predict = (asked: string) =>
      postJson(`${stack.inference?.origin}/predict`, {
        modelId: name,
        version: asked,
        features: { float_input: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] },
      });
    expect(await predict('3')).toMatchObject({ status: 200, body: { modelVersion: '3' } });
    expect(await predict('2')).toMatchObject({ status: 422, body: { code: 'unsupported_framework' } });
    expect(
      (await getJson(`${origin}/v1/models/${encodeURIComponent(name)}/history/verify`)).body,
    ).toMatchObject({
      verified: true,
    });
  },
  CLIENT_TIMEOUT_MS,
);

test('the files of a registered version are read as artifacts and never written', async () => {
  const { origin } = stack.registry;
  const base = `${origin}/api/2.0/mlflow-artifacts/artifacts`;
  const { body } = await getJson(
    `${origin}/api/2.0/mlflow/model-versions/get-download-uri?name=scores%203&version=3`,
  );
  const path = String(body.artifact_uri).replace('mlflow-artifacts:/', '');
  expect((await getJson(`${base}?path=${path}`)).body).toEqual({
    files: expect.arrayContaining([expect.objectContaining({ path: 'model.onnx', is_dir: false })]),
  });
  const write = await fetch(`${base}/${path}/model.onnx`, { method: 'PUT', body: 'other' });
  expect([write.status, ((await write.json()) as { message: string }).message]).toEqual([
    400,
    expect.stringMatching(/signed and never change/),
  ]);
  expect((await fetch(`${base}/${path}/model.onnx`, { method: 'DELETE' })).status).toBe(400);
  expect((await fetch(`${base}/registered-models/${'0'.repeat(8)}/x`)).status).toBe(404);
});

describe('a version that MLflow asked for', () => {
  const api = (path: string) => `${stack.registry.origin}/api/2.0/mlflow/${path}`;
  const put = async (path: string, bytes: Uint8Array) => {
    const target = `${stack.registry.origin}/api/2.0/mlflow-artifacts/artifacts/${path}`;
    const { status } = await fetch(target, { method: 'PUT', body: bytes as Uint8Array<ArrayBuffer> });
    expect(status).toBe(200);
  };
  const create = async (source: string) =>
    (await postJson(api('model-versions/create'), { name: 'asked', source })).body.model_version;
  const version = async (number: string) =>
    (await getJson(api(`model-versions/get?name=asked&version=${number}`))).body.model_version;

  beforeAll(async () => {
    await postJson(api('registered-models/create'), { name: 'asked' });
  });

  test('says why it could not be registered, keeps its number, and can be deleted', async () => {
    expect(await create('mlflow-artifacts:/0/nothing/artifacts/model')).toMatchObject({
      version: '1',
      status: 'FAILED_REGISTRATION',
      status_message: expect.stringMatching(/^artifact_not_found: .*log the model first/),
    });
    const alias = { name: 'asked', alias: 'a', version: '1' };
    expect((await postJson(api('registered-models/alias'), alias)).body).toMatchObject({
      error_code: 'RESOURCE_DOES_NOT_EXIST',
    });
    expect(
      (await ask('DELETE', api('model-versions/delete'), {}, { name: 'asked', version: '1' })).status,
    ).toBe(200);
    await put('0/notes/artifacts/model/readme.txt', Buffer.from('only words'));
    expect(await create('mlflow-artifacts:/0/notes/artifacts/model')).toMatchObject({
      version: '2',
      status: 'READY',
      tags: expect.arrayContaining([{ key: 'millrace.servable', value: 'false' }]),
    });
  });

  test('is the signed bytes, whatever becomes of the artifacts', async () => {
    await put('0/notes/artifacts/model/readme.txt', Buffer.from('other words'));
    const { body } = await getJson(api('model-versions/get-download-uri?name=asked&version=2'));
    const path = String(body.artifact_uri).replace('mlflow-artifacts:/', '');
    const artifact = `${stack.registry.origin}/api/2.0/mlflow-artifacts/artifacts/${path}/readme.txt`;
    expect(await (await fetch(artifact)).text()).toBe('only words');
  });

  test('is taken up by another process when its own died', async () => {
    await put('0/left/artifacts/model/model.onnx', readFileSync(file('../fixtures/other.onnx')));
    const client = new pg.Client({ connectionString: stack.databaseUrl, application_name: 'test' });
    await client.connect();
    await client.query(
      `with model as (update registry.models set last_ordinal = 3 where name = 'asked' returning id)
       insert into registry.model_registrations
         (id, model_id, ordinal, status, source, artifact_path, created_by, created_ms, updated_ms, attempts, claimed_until)
       select $1, id, 3, 'PENDING_REGISTRATION', 'mlflow-artifacts:/0/left/artifacts/model',
         '0/left/artifacts/model', 'local', 1, 1, 1, now() - interval '1 second' from model`,
      [newId()],
    );
    await client.end();
    expect(await version('3')).toMatchObject({ status: 'PENDING_REGISTRATION' });
    await stack.startReplica('registry');
    await eventually(async () => {
      expect(await version('3')).toMatchObject({
        status: 'READY',
        tags: expect.arrayContaining([{ key: 'millrace.servable', value: 'true' }]),
      });
      return true;
    });
  });
});

test('every endpoint that the README names this test for was answered', async () => {
  expect(await unprovenEndpoints(stack.registry.origin, 'mlflow-registry/clients')).toEqual([]);
});
