import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc } from '@millrace/bus';
import type { ArtifactRef, EventDefinition } from '@millrace/contracts';
import {
  eventCatalog,
  ModelVersionRegistered,
  ModelVersionRejected,
  ModelVersionStageChanged,
  newId,
  PipelineRegistrationRequested,
  resolveVersionMethod,
} from '@millrace/contracts';
import {
  CHAIN_GENESIS,
  modelDigest,
  verifyChain,
  verifyModel,
  verifyPackageStatements,
} from '@millrace/integrity';
import { blobKey } from '@millrace/storage';
import { eventually } from '@millrace/testing';
import { headers } from '@nats-io/transport-node';
import { callers } from './support/principals.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from './support/registry-stack.ts';

const model = readFileSync(new URL('./fixtures/model.onnx', import.meta.url));
const other = readFileSync(new URL('./fixtures/other.onnx', import.meta.url));
const WEIGHTS = 'ab'.repeat(32);
const MACHINE = { cpu: 'a processor', classDigest: '56'.repeat(32), threads: { intra: 2, inter: 1 } };

type Fact = { subject: string; tenant: string | undefined; data: Record<string, unknown> };

let stack: RegistryStack;
let origin: string;
const facts: Fact[] = [];

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  origin = stack.registry.origin;
  stack.bus.nc.subscribe('millrace.evt.>', {
    callback: (_error, message) => {
      const tenant = message.headers?.get('millrace-tenant');
      facts.push({ subject: message.subject, tenant, data: message.json() });
    },
  });
});
afterAll(() => stack?.stop());

const factsOf = (event: EventDefinition, requestId: string): Fact[] =>
  facts.filter((fact) => fact.subject === event.subject && fact.data.requestId === requestId);

async function store(path: string, bytes: Uint8Array): Promise<ArtifactRef> {
  return { path, ...(await stack.storage.putBlob(bytes)) };
}

type Request = Parameters<typeof publish>[0];

/** Publishes what the orchestrator would, with the headers of its outbox. */
async function publish(
  data: Record<string, unknown> & { pipelineId: string },
  tenant = 'default',
): Promise<void> {
  const values = headers();
  values.set('ce-id', newId());
  values.set('ce-subject', data.pipelineId);
  if (tenant !== '') values.set('millrace-tenant', tenant);
  await stack.bus.js.publish(PipelineRegistrationRequested.subject, JSON.stringify(data), {
    headers: values,
  });
}

async function request(changes: Record<string, unknown> = {}, graph: Uint8Array = model): Promise<Request> {
  const onnx = await store('model.onnx', graph);
  const frozen = await store('frozen_graph.pb', Buffer.from('a frozen graph'));
  const saved = await store('saved_model/saved_model.pb', Buffer.from('a saved model'));
  const keras = await store('model.keras', Buffer.from(`never the same ${newId()}`));
  return {
    pipelineId: newId(),
    model: 'verichain',
    framework: 'onnx',
    files: [onnx, frozen, keras, saved],
    weightsDigest: WEIGHTS,
    graphDigests: { onnx: onnx.sha256, frozenGraph: frozen.sha256 },
    trainingJobId: newId(),
    conversionJobId: newId(),
    dataset: { datasetId: newId(), versionId: newId(), digest: 'cd'.repeat(32) },
    recipe: 'verichain',
    params: { epochs: 5, seed: 7 },
    trainingMeta: {
      accuracy: 0.97,
      recipe: { name: 'verichain', version: '1.0.0', sha256: '34'.repeat(32) },
      environment: { lock: 'requirements.txt', sha256: 'ef'.repeat(32) },
      machine: MACHINE,
      startedAt: '2026-11-21T10:00:00+00:00',
    },
    conversionMeta: {
      parity: { maxAbsDiff: 2e-7, tolerance: 1e-4 },
      environmentDigest: '12'.repeat(32),
      opset: 17,
      startedAt: '2026-11-21T10:01:00+00:00',
      finishedAt: '2026-11-21T10:02:00+00:00',
    },
    ...changes,
  };
}

async function register(data: Request, tenant?: string): Promise<Fact> {
  await publish(data, tenant);
  return eventually(async () => {
    const [fact] = [
      ...factsOf(ModelVersionRegistered, data.pipelineId),
      ...factsOf(ModelVersionRejected, data.pipelineId),
    ];
    if (fact === undefined) throw new Error('no answer yet');
    return fact;
  });
}

describe('what a pipeline makes belongs to whom started it', () => {
  test('its model is of that tenant, and who started it cannot be the one who approves it', async () => {
    const writer = ['models:read', 'models:write', 'models:approve'] as const;
    const as = await callers(
      stack,
      { ada: writer, bob: writer, root: ['admin'], eve: writer },
      { ada: 'acme', bob: 'acme', root: 'acme' },
    );
    const fact = await register(await request({ model: 'trained', by: 'ada' }), 'acme');
    expect(fact).toMatchObject({ tenant: 'acme', data: { model: 'trained', version: 'v1' } });
    const path = '/v1/models/trained/versions/v1';
    expect((await as.ada('GET', path)).body).toMatchObject({ createdBy: 'ada' });
    expect((await as.eve('GET', path)).body).toMatchObject({ code: 'model_not_found' });

    await as.root('PUT', '/v1/models/trained/policy', { approvalsRequired: { production: 1 } });
    const promote = () => as.bob('POST', `${path}/stage`, { stage: 'production' });
    const approve = (by: typeof as.ada) => by('POST', `${path}/approvals`, { stage: 'production' });
    await approve(as.ada);
    expect((await promote()).body).toMatchObject({
      code: 'approval_required',
      detail: expect.stringMatching(/by people other than ada/),
    });
    await approve(as.bob);
    expect((await promote()).status).toBe(200);
  });

  test('a refusal is a fact of that tenant too', async () => {
    const conversionMeta = { parity: { maxAbsDiff: 1, tolerance: 1e-4 } };
    const fact = await register(await request({ conversionMeta, by: 'ada' }), 'acme');
    expect(fact).toMatchObject({
      subject: ModelVersionRejected.subject,
      tenant: 'acme',
      data: { error: { code: 'parity_failed' } },
    });
  });
});

describe('a pipeline registers what it made', () => {
  test('verified, signed, with provenance and meta about the same digests', async () => {
    const data = await request();
    const fact = await register(data);
    expect(fact.data).toMatchObject({ model: 'verichain', version: 'v1', ordinal: 1, isReused: false });
    const graphs = data.graphDigests as Record<string, string>;
    expect(fact.data.modelDigest).toBe(
      modelDigest({ weightsDigest: WEIGHTS, graphDigests: Object.values(graphs) }),
    );
    const { body } = await getJson(`${origin}/v1/models/verichain/versions/v1`);
    expect(body).toMatchObject({
      stage: 'development',
      servingFile: 'serving/model.onnx',
      lineage: { source: 'pipeline', pipelineId: data.pipelineId, dataset: data.dataset },
      metrics: { training: { accuracy: 0.97 } },
      createdBy: 'pipeline',
    });
    const parts = (await getJson(`${origin}/v1/models/verichain/versions/1/bundle-parts`)).body as {
      manifest: { files: ArtifactRef[] };
      attestations: { name: 'provenance' | 'meta' | 'conversion'; bundle: Record<string, unknown> }[];
    };
    const signed = Object.fromEntries(parts.attestations.map(({ name, bundle }) => [name, bundle]));
    const { provenance, conversion } = verifyPackageStatements(
      { provenance: signed.provenance ?? {}, meta: signed.meta ?? {}, conversion: signed.conversion ?? {} },
      stack.publicKeyPem,
      {
        packageDigest: String(fact.data.packageDigest),
        rootDigest: String(body.rootDigest),
        files: parts.manifest.files,
      },
    );
    expect(provenance.predicate).toMatchObject({
      buildDefinition: {
        externalParameters: { recipe: 'verichain', params: { epochs: 5, seed: 7 } },
        internalParameters: { machine: MACHINE, weightsDigest: WEIGHTS },
        resolvedDependencies: [
          { name: 'dataset', digest: { sha256: 'cd'.repeat(32) } },
          {
            name: 'recipe',
            uri: 'urn:millrace:recipe:verichain@1.0.0',
            digest: { sha256: '34'.repeat(32) },
          },
          { name: 'training-environment', digest: { sha256: 'ef'.repeat(32) } },
          { name: 'conversion-environment', digest: { sha256: '12'.repeat(32) } },
        ],
      },
      runDetails: {
        metadata: { startedOn: '2026-11-21T10:00:00+00:00', finishedOn: '2026-11-21T10:02:00+00:00' },
      },
    });
    expect(conversion?.subject).toContainEqual({ name: 'model.onnx', digest: { sha256: graphs.onnx } });
    expect(conversion?.predicate).toMatchObject({
      buildDefinition: {
        buildType: 'urn:millrace:build:convert:v1',
        externalParameters: { opset: 17 },
        internalParameters: { pipelineId: data.pipelineId, trainingJobId: data.trainingJobId },
        resolvedDependencies: [
          { name: 'weights', digest: { sha256: WEIGHTS } },
          { name: 'frozenGraph', digest: { sha256: graphs.frozenGraph } },
          { name: 'saved_model/saved_model.pb' },
          { name: 'conversion-environment', digest: { sha256: '12'.repeat(32) } },
        ],
      },
      runDetails: {
        metadata: { invocationId: data.conversionJobId, startedOn: '2026-11-21T10:01:00+00:00' },
        byproducts: [{ name: 'parity', annotations: { maxAbsDiff: 2e-7, tolerance: 1e-4 } }],
      },
    });
  });

  test('an equal modelDigest reuses the version and says so', async () => {
    const fact = await register(await request());
    expect(fact.data).toMatchObject({ version: 'v1', isReused: true });
    expect((await getJson(`${origin}/v1/models/verichain`)).body).toMatchObject({ versions: 1 });
  });

  test('other weights are the next version', async () => {
    const fact = await register(await request({ weightsDigest: 'ba'.repeat(32) }));
    expect(fact.data).toMatchObject({ version: 'v2', ordinal: 2, isReused: false });
  });

  test('an event that comes twice is registered once', async () => {
    const data = await request({ model: 'twice' });
    await register(data);
    await publish(data);
    await eventually(async () => {
      if (factsOf(ModelVersionRegistered, data.pipelineId).length < 2) throw new Error('not yet');
      return true;
    });
    expect((await getJson(`${origin}/v1/models/twice`)).body).toMatchObject({ versions: 1 });
  });
});

describe('a package that cannot be registered is answered with the reason', () => {
  const cases: [string, string, () => Promise<Request>][] = [
    ['bytes that are no ONNX', 'not_onnx', () => request({}, Buffer.from('no model'))],
    [
      'parity over the tolerance',
      'parity_failed',
      () => request({ conversionMeta: { parity: { maxAbsDiff: 0.25, tolerance: 1e-4 } } }),
    ],
    ['no parity at all', 'parity_failed', () => request({ conversionMeta: {} })],
    [
      'a graph digest of no file',
      'manifest_mismatch',
      () => request({ graphDigests: { onnx: 'aa'.repeat(32) } }),
    ],
  ];

  test.each(cases)('%s', async (_what, code, make) => {
    const data = { ...(await make()), model: `refused-${code}` };
    const fact = await register(data);
    expect(fact.data).toMatchObject({ where: 'registration', error: { code } });
    expect((await getJson(`${origin}/v1/models/refused-${code}`)).status).toBe(404);
  });

  test('a label that has other bytes', async () => {
    await upload(origin, { modelId: 'taken', version: 'v1', framework: 'onnx' }, other);
    const fact = await register(await request({ model: 'taken', version: 'v1' }));
    expect(fact.data).toMatchObject({ error: { code: 'version_conflict' }, version: 'v1' });
  });

  test('a file damaged in storage, after it was looked for again', async () => {
    const data = await request({ model: 'damaged' });
    const keras = (data.files as ArtifactRef[])[2];
    await stack.storage.putObject(blobKey(keras?.sha256 ?? ''), Buffer.from('damaged'));
    const fact = await register(data);
    expect(fact.data).toMatchObject({ error: { code: 'artifact_corrupt' } });
  }, 30_000);
});

describe('resolving', () => {
  const resolve = (asked: { model?: string; modelId?: string; version?: string; modelVersionId?: string }) =>
    callRpc(stack.bus, 'registry', 'resolve', resolveVersionMethod, asked);

  test('by label, ordinal, alias and id; by default the newest, then production', async () => {
    for (const [version, bytes] of [
      ['one', model],
      ['two', other],
    ] as const) {
      await upload(origin, { modelId: 'resolved', version, framework: 'onnx' }, bytes);
    }
    const newest = await resolve({ model: 'resolved' });
    expect(newest).toMatchObject({ version: 'two', ordinal: 2, servingFile: 'serving/model.onnx' });
    expect(verifyModel(newest.signature, stack.publicKeyPem, newest.manifest.files).rootDigest).toHaveLength(
      64,
    );
    expect(await resolve({ model: 'resolved', version: '1' })).toMatchObject({ version: 'one' });
    expect(await resolve({ modelVersionId: newest.modelVersionId })).toEqual(newest);
    expect(await resolve({ modelId: newest.modelId })).toEqual(newest);
    expect(await resolve({ modelId: newest.modelId, version: 'one' })).toMatchObject({ version: 'one' });
    await expect(resolve({ modelId: newId() })).rejects.toMatchObject({ code: 'model_not_found' });

    await postJson(`${origin}/v1/models/resolved/versions/one/stage`, { stage: 'production' });
    expect(await resolve({ model: 'resolved' })).toMatchObject({ version: 'one', stage: 'production' });
    await postJson(`${origin}/v1/models/resolved/versions/two/stage`, { stage: 'production' });
    await postJson(`${origin}/v1/models/resolved/versions/one/stage`, { stage: 'staging' });
    await postJson(`${origin}/v1/models/resolved/versions/one/stage`, { stage: 'production' });
    expect(await resolve({ model: 'resolved' })).toMatchObject({ version: 'one' });
    await postJson(`${origin}/v1/models/resolved/versions/one/stage`, { stage: 'archived' });
    expect(await resolve({ model: 'resolved' })).toMatchObject({ version: 'two' });

    const put = await fetch(`${origin}/v1/models/resolved/aliases/champion`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ version: 'two' }),
    });
    expect(await put.json()).toMatchObject({ aliases: { champion: 'two' }, serving: { version: 'two' } });
    expect(await resolve({ model: 'resolved', version: '@champion' })).toMatchObject({ version: 'two' });
    await fetch(`${origin}/v1/models/resolved/aliases/champion`, { method: 'DELETE' });
    await expect(resolve({ model: 'resolved', version: '@champion' })).rejects.toMatchObject({
      code: 'version_not_found',
    });
  });

  test.each([
    [{ model: 'nobody' }, 'model_not_found'],
    [{ model: 'resolved', version: 'three' }, 'version_not_found'],
    [{ modelVersionId: newId() }, 'version_not_found'],
    [{}, 'invalid_request'],
  ])('%j is refused', async (asked, code) => {
    await expect(resolve(asked)).rejects.toMatchObject({ code });
  });
});

describe('history', () => {
  test('every change is a row of the chain, and the event tells others', async () => {
    await upload(origin, { modelId: 'told', version: 'v1', framework: 'onnx', stage: 'staging' }, model);
    await postJson(`${origin}/v1/models/told/versions/v1/stage`, { stage: 'production' });
    await postJson(`${origin}/v1/models/told/versions/v1/stage`, { stage: 'production' });
    const { body } = await getJson(`${origin}/v1/models/told/history`);
    const rows = body.items as { entry: Record<string, unknown>; prevHash: string; hash: string }[];
    expect(rows.map((row) => row.entry)).toMatchObject([
      { seq: 1, action: 'registered', stage: 'staging', by: 'local' },
      { seq: 2, action: 'stage-changed', from: 'staging', to: 'production', by: 'local' },
    ]);
    expect(verifyChain(rows, { after: CHAIN_GENESIS }).length).toBe(2);
    expect((await getJson(`${origin}/v1/models/told/history/verify`)).body).toEqual({
      verified: true,
      length: 2,
      head: rows[1]?.hash,
    });
    await eventually(async () => {
      const changed = facts.filter(
        (fact) => fact.subject === ModelVersionStageChanged.subject && fact.data.model === 'told',
      );
      expect(changed).toHaveLength(1);
      expect(changed[0]?.data).toMatchObject({ from: 'staging', to: 'production', by: 'local' });
      return true;
    });
  });

  test('an unknown stage is refused and changes nothing', async () => {
    const reply = await postJson(`${origin}/v1/models/told/versions/v1/stage`, { stage: 'live' });
    expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  test('lists come in pages', async () => {
    const first = await getJson(`${origin}/v1/models?limit=2`);
    expect(first.body.items).toHaveLength(2);
    const second = await getJson(
      `${origin}/v1/models?limit=500&cursor=${encodeURIComponent(String(first.body.nextCursor))}`,
    );
    expect(second.body.nextCursor).toBeNull();
    const names = [first, second].flatMap(({ body }) =>
      (body.items as { name: string }[]).map((m) => m.name),
    );
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('told');
  });
});

test('every event it publishes is in the catalogue', () => {
  const subjects = new Set(eventCatalog.map((event) => event.subject));
  expect(facts.length).toBeGreaterThan(0);
  for (const fact of facts) expect(subjects).toContain(fact.subject);
});
