import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import { ModelConfigSchema } from '../../src/grpc/generated/inference/v2/grpc_inference_service_pb.ts';
import type { Answer, Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

let serving: Serving;

beforeAll(async () => {
  // every model in a process of its own, so that one can be stopped and killed
  serving = await startServing({ MILLRACE_INLINE_RUN_MS_MAX: '0', MILLRACE_HOSTS_PER_MODEL: '1' });
});
afterAll(() => serving.stop());

const scaler = {
  id: 'scale',
  kind: 'standard-scaler',
  parameters: { mean: [0.5], scale: [0.25] },
  inputs: { x: 'features' },
  outputs: { y: 'scaled' },
};

function classify(member: ResolvedVersion, more: object = {}): object {
  const { model, version, modelVersionId, packageDigest } = member;
  return {
    id: 'classify',
    kind: 'model',
    inputs: { float_input: 'scaled' },
    outputs: { output_label: 'id', output_probability: 'scores' },
    member: { model, version, modelVersionId, packageDigest },
    ...more,
  };
}

const describeEnsemble = (steps: object[], outputs = ['scores', 'id']): object => ({
  inputs: [{ name: 'features', dtype: 'float32', shape: [null, 10] }],
  outputs,
  steps,
});

/** Makes an ensemble known, signed; the graph beside its description makes the package one of its own. */
const add = (name: string, description: object): Promise<ResolvedVersion> =>
  serving.registry.add(name, fixture('classifier'), {
    files: { 'ensemble.json': Buffer.from(JSON.stringify(description)) },
    framework: 'ensemble',
  });

/** A classifier and an ensemble around it, under fresh names. */
async function pair(name: string): Promise<{ member: ResolvedVersion; whole: ResolvedVersion }> {
  const member = await serving.registry.add(`${name}-member`, fixture('classifier'));
  return { member, whole: await add(name, describeEnsemble([classify(member), scaler])) };
}

const ask = (name: string, row = ROW): Promise<Answer> =>
  serving.predict({ modelId: name, features: { features: row } });

function infer(name: string, more: object = {}): Promise<Answer> {
  const tensor = { name: 'features', shape: [1, 10], datatype: 'FP32', data: ROW };
  return serving.post(`/v2/models/${name}/infer`, JSON.stringify({ inputs: [tensor], ...more }));
}

type Loaded = {
  model: string;
  hostPids: number[];
  batchReason: string;
  queue: { running: number; requests: number };
};
async function loaded(): Promise<Loaded[]> {
  const response = await fetch(`${serving.origin}/v1/inference/models`);
  return ((await response.json()) as { models: Loaded[] }).models;
}

async function runningOf(name: string): Promise<number | undefined> {
  return (await loaded()).find(({ model }) => model === name)?.queue.running;
}

async function hostOf(name: string): Promise<number> {
  return (await loaded()).find(({ model }) => model === name)?.hostPids[0] as number;
}

async function statistics(name: string) {
  const response = await fetch(`${serving.origin}/v2/models/${name}/stats`);
  type Count = { count: number };
  const body = (await response.json()) as {
    model_stats: {
      inference_count: number;
      execution_count: number;
      inference_stats: { success: Count; fail: Count };
    }[];
  };
  return body.model_stats[0] as (typeof body.model_stats)[number];
}

describe('when the process of a member', () => {
  test('is killed, the request gets 503 with the step, and the next ones are answered', async () => {
    await pair('mortal');
    const first = await ask('mortal');
    expect(first.status).toBe(200);
    const host = await hostOf('mortal-member');
    process.kill(host, 'SIGSTOP');
    const caught = ask('mortal');
    await eventually(async () => expect(await runningOf('mortal-member')).toBe(1));
    process.kill(host, 'SIGKILL');
    expect(await caught).toMatchObject({
      status: 503,
      body: {
        code: 'model_crashed',
        detail: expect.stringMatching(/^Step "classify": The process that hosts/),
      },
    });
    await eventually(async () => {
      const again = await ask('mortal');
      expect(again.status).toBe(200);
      expect(again.body.prediction).toEqual(first.body.prediction);
    });
  });

  test('stands still, the deadline and a caller who leaves hold for the step', async () => {
    await pair('frozen');
    expect((await ask('frozen')).status).toBe(200);
    const host = await hostOf('frozen-member');
    const before = await statistics('frozen-member');
    process.kill(host, 'SIGSTOP');
    try {
      // both slots of the host are taken, so what comes now waits for the step
      const early: Promise<Answer>[] = [];
      for (const running of [1, 2]) {
        early.push(ask('frozen'));
        await eventually(async () => expect(await runningOf('frozen-member')).toBe(running));
      }
      expect(await infer('frozen', { parameters: { timeout: 300_000 } })).toMatchObject({
        status: 504,
        body: { error: expect.stringContaining('Step "classify"') },
      });
      const leaving = new AbortController();
      const left = fetch(`${serving.origin}/predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ modelId: 'frozen', features: { features: ROW } }),
        signal: leaving.signal,
      });
      setTimeout(() => leaving.abort(), 200);
      await expect(left).rejects.toThrow();
      await eventually(async () => {
        const { inference_stats: now } = await statistics('frozen-member');
        expect(now.fail.count - before.inference_stats.fail.count).toBe(2);
      });
      process.kill(host, 'SIGCONT');
      expect((await Promise.all(early)).map(({ status }) => status)).toEqual([200, 200]);
    } finally {
      process.kill(host, 'SIGCONT');
    }
  });
});

describe('what is not what was signed is never served', () => {
  test('a description that was changed in the store', async () => {
    const { whole } = await pair('tampered');
    const file = whole.manifest.files.find(({ path }) => path === 'ensemble.json');
    const { sha256 = '' } = file ?? {};
    const other = Buffer.from(JSON.stringify(describeEnsemble([scaler], ['scaled'])));
    await serving.storage.putObject(`cas/${sha256.slice(0, 2)}/${sha256}`, other);
    expect(await ask('tampered')).toMatchObject({ status: 502, body: { code: 'artifact_corrupt' } });
    expect((await loaded()).map(({ model }) => model)).not.toContain('tampered');
  });

  test('a description that was changed in the node cache is fetched again', async () => {
    const { whole } = await pair('healed-flow');
    const first = await ask('healed-flow');
    expect(first.status).toBe(200);
    const { sha256 = '' } = whole.manifest.files.find(({ path }) => path === 'ensemble.json') ?? {};
    const url = `${serving.origin}/v1/inference/models/${whole.modelVersionId}`;
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(204);
    writeFileSync(join(serving.folder, 'cache', 'cas', sha256.slice(0, 2), sha256), '{}');
    expect((await ask('healed-flow')).body.prediction).toEqual(first.body.prediction);
  });

  test('a manifest with another description, and a signed file that describes nothing', async () => {
    const { whole } = await pair('swapped');
    const { whole: other } = await pair('swapped-other');
    serving.registry.change(whole.modelVersionId, { manifest: other.manifest });
    expect((await ask('swapped')).body.code).toBe('digest_mismatch');
    await add('nothing', { steps: [] });
    expect((await ask('nothing')).body.code).toBe('invalid_ensemble');
  });

  test('a member that has other bytes than it was pinned to', async () => {
    const member = await serving.registry.add('moved-member', fixture('classifier'));
    const step = classify({ ...member, packageDigest: 'a'.repeat(64) });
    await add('moved', describeEnsemble([scaler, step]));
    expect((await ask('moved')).body).toMatchObject({
      code: 'digest_mismatch',
      detail: expect.stringMatching(/^Step "classify": Version "v1" of "moved-member" is not the one/),
    });
    await add('moved-id', describeEnsemble([scaler, classify({ ...member, modelVersionId: newId() })]));
    expect((await ask('moved-id')).body.code).toBe('digest_mismatch');
  });

  test('a member whose own signature does not hold', async () => {
    const { member } = await pair('forged');
    serving.registry.change(member.modelVersionId, { signature: { ...member.signature, dsseEnvelope: {} } });
    expect((await ask('forged')).body).toMatchObject({
      code: 'signature_malformed',
      detail: expect.stringContaining('Step "classify"'),
    });
  });

  test('a graph that does not fit the description', async () => {
    const member = await serving.registry.add('misfit-member', fixture('centred'));
    const step = classify(member, { inputs: { x: 'scaled' }, outputs: { y: 'scores' } });
    await add('misfit', describeEnsemble([scaler, step], ['scores']));
    expect((await ask('misfit')).body).toMatchObject({
      code: 'invalid_ensemble',
      detail: expect.stringMatching(/^Step "classify": its input "x" takes \[N, 3\]/),
    });
  });
});

test('requests of one moment are joined, and each gets the answer that it gets alone', async () => {
  await pair('joined');
  const rows = Array.from({ length: 48 }, (_, i) => ROW.map((x, j) => Math.sin(x * (i + 1) + j)));
  const alone = [];
  for (const row of rows) alone.push((await ask('joined', row)).body.prediction);
  const before = await statistics('joined');
  expect((await loaded()).find(({ model }) => model === 'joined')?.batchReason).toContain('same to the bit');
  // they gather before the model while its process stands still
  const host = await hostOf('joined-member');
  process.kill(host, 'SIGSTOP');
  const asked = rows.map((row) => ask('joined', row));
  await eventually(async () => {
    const queue = (await loaded()).find(({ model }) => model === 'joined')?.queue;
    expect(queue?.requests).toBe(before.inference_count + rows.length);
  }).finally(() => process.kill(host, 'SIGCONT'));
  const together = await Promise.all(asked);
  expect(together.map(({ body }) => body.prediction)).toEqual(alone);
  const after = await statistics('joined');
  expect(after.inference_count - before.inference_count).toBe(rows.length);
  expect(after.execution_count - before.execution_count).toBeLessThan(rows.length);
  expect((await statistics('joined-member')).inference_count).toBe(after.inference_count);
});

test('only the steps that the wanted outputs come from are run', async () => {
  const member = await serving.registry.add('partial-member', fixture('classifier'));
  const tag = { id: 'tag', kind: 'label-map', inputs: { x: 'id' }, outputs: { y: 'tag' } };
  const parameters = { labels: { 0: 'no', 1: 'yes' } };
  await add(
    'partial',
    describeEnsemble([scaler, classify(member), { ...tag, parameters }], ['scores', 'tag']),
  );
  const answer = await infer('partial', { outputs: [{ name: 'scores' }] });
  expect(answer.body.outputs).toEqual([expect.objectContaining({ name: 'scores' })]);
  const timing = answer.headers.get('server-timing') ?? '';
  expect(timing).toContain('step.classify;dur=');
  expect(timing).not.toContain('step.tag');
});

test('an output that is nothing but an input in another shape is answered whole', async () => {
  const fold = { id: 'fold', kind: 'reshape', inputs: { x: 'features' }, outputs: { y: 'folded' } };
  await add('folding', describeEnsemble([{ ...fold, parameters: { shape: [null, 2, 5] } }], ['folded']));
  const answer = await infer('folding');
  expect(answer.body.outputs).toEqual([{ name: 'folded', datatype: 'FP32', shape: [1, 2, 5], data: ROW }]);
});

test('members stay while the ensemble does, and leave with it', async () => {
  const { member } = await pair('holding');
  expect((await ask('holding')).status).toBe(200);
  const names = async () => (await loaded()).map(({ model }) => model);
  for (let i = 0; i < 3; i += 1) {
    await serving.registry.add(`crowd-${i}`, fixture('classifier'));
    expect((await serving.classify(`crowd-${i}`)).status).toBe(200);
    expect((await ask('holding')).status).toBe(200);
    expect(await names()).toEqual(expect.arrayContaining(['holding', 'holding-member']));
  }
  const url = `${serving.origin}/v1/inference/models/${member.modelVersionId}`;
  expect((await fetch(url, { method: 'DELETE' })).status).toBe(204);
  expect((await names()).filter((name) => name.startsWith('holding'))).toEqual([]);
  expect((await ask('holding')).status).toBe(200);
  expect(await names()).toEqual(expect.arrayContaining(['holding', 'holding-member']));
});

test('the configuration is one that gRPC can tell', async () => {
  await pair('told');
  const response = await fetch(`${serving.origin}/v2/models/told/config`);
  const config = fromJson(ModelConfigSchema, (await response.json()) as JsonValue);
  expect(config).toMatchObject({ platform: 'ensemble', maxBatchSize: 100 });
  expect(config.schedulingChoice).toMatchObject({
    case: 'ensembleScheduling',
    value: {
      step: [{ modelName: 'told-member', modelVersion: 1n }, { modelName: 'builtin:standard-scaler' }],
    },
  });
});
