import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc, createOutbox, createOutboxRelay } from '@millrace/bus';
import type { EventData, ModelVersionRegistered, ResolvedVersion } from '@millrace/contracts';
import { loadVersionMethod, newId, ModelVersionRegistered as Registered } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import { busTables } from '../src/schema.ts';
import type { Serving } from './support/serving.ts';
import { fixture, startServing } from './support/serving.ts';

let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
});

afterAll(() => serving.stop());

describe('verified load', () => {
  async function refused(changes: (version: ResolvedVersion) => Partial<ResolvedVersion>): Promise<unknown> {
    const name = `refused-${newId()}`;
    const version = await serving.registry.add(name, fixture('classifier'));
    serving.registry.change(version.modelVersionId, changes(version));
    return (await serving.classify(name)).body.code;
  }

  test('a package that is not the one that was signed is not loaded', async () => {
    const other = await serving.registry.add(`other-${newId()}`, fixture('counter'));
    expect(await refused(() => ({ manifest: other.manifest }))).toBe('digest_mismatch');
    expect(await refused(() => ({ packageDigest: 'b'.repeat(64) }))).toBe('manifest_mismatch');
    expect(await refused(() => ({ servingFile: 'other.onnx' }))).toBe('manifest_mismatch');
    expect(await refused(({ signature }) => ({ signature: { ...signature, dsseEnvelope: {} } }))).toBe(
      'signature_malformed',
    );
    const manifest = ({ manifest: { files } }: ResolvedVersion) => ({
      files: [...files, { path: 'extra', sha256: 'c'.repeat(64), sizeBytes: 1 }],
    });
    expect(await refused((version) => ({ manifest: manifest(version) }))).toBe('manifest_mismatch');
  });

  test('a file that rotted in the node cache is fetched again, one that rotted in S3 is refused', async () => {
    const healed = await serving.registry.add(
      'healed',
      Buffer.concat([fixture('classifier'), unknownField(1)]),
    );
    const [file] = healed.manifest.files;
    const cached = (sha256 = '') => join(serving.folder, 'cache', 'cas', sha256.slice(0, 2), sha256);
    expect((await serving.classify('healed')).status).toBe(200);
    expect(await unload(healed.modelVersionId)).toBe(204);
    writeFileSync(cached(file?.sha256), 'rot');
    expect((await serving.classify('healed')).status).toBe(200);
    const rotten = await serving.registry.add(
      'rotten',
      Buffer.concat([fixture('classifier'), unknownField(2)]),
    );
    const sha256 = rotten.manifest.files[0]?.sha256 ?? '';
    await serving.storage.putObject(`cas/${sha256.slice(0, 2)}/${sha256}`, fixture('counter'));
    expect((await serving.classify('rotten')).body.code).toBe('artifact_corrupt');
    expect(readdirSync(join(serving.folder, 'cache', 'cas'), { recursive: true })).not.toContain(
      join(sha256.slice(0, 2), sha256),
    );
    // both copies at once, of a version that was loaded
    const both = await serving.registry.add('both', Buffer.concat([fixture('classifier'), unknownField(3)]));
    const digest = both.manifest.files[0]?.sha256 ?? '';
    expect((await serving.classify('both')).status).toBe(200);
    expect(await unload(both.modelVersionId)).toBe(204);
    writeFileSync(cached(digest), 'rot');
    await serving.storage.putObject(`cas/${digest.slice(0, 2)}/${digest}`, fixture('counter'));
    expect((await serving.classify('both')).body.code).toBe('artifact_corrupt');
    await eventually(async () => {
      const metrics = await (await fetch(`${serving.origin}/metrics`)).text();
      const count = (outcome: string) =>
        Number(
          new RegExp(
            `millrace_inference_cache_rotten_files_total\\{[^}]*outcome="${outcome}"[^}]*\\} (\\d+)`,
          ).exec(metrics)?.[1],
        );
      expect(count('healed')).toBeGreaterThanOrEqual(1);
      expect(count('refused')).toBeGreaterThanOrEqual(1);
    });
  });

  /** A protobuf field that onnxruntime skips: other bytes, same model. */
  function unknownField(value: number): Buffer {
    return Buffer.from([0xf8, 0x3f, value]);
  }

  async function unload(id: string): Promise<number> {
    return (await fetch(`${serving.origin}/v1/inference/models/${id}`, { method: 'DELETE' })).status;
  }

  test('only so many models stay loaded, and one that left comes back', async () => {
    for (let i = 0; i < 6; i += 1) await serving.registry.add(`many-${i}`, fixture('classifier'));
    for (let i = 0; i < 6; i += 1) expect((await serving.classify(`many-${i}`)).status).toBe(200);
    type View = { models: { model: string }[] };
    const list = async () =>
      ((await (await fetch(`${serving.origin}/v1/inference/models`)).json()) as View).models.map(
        ({ model }) => model,
      );
    expect(await list()).toEqual(['many-2', 'many-3', 'many-4', 'many-5']);
    expect((await serving.classify('many-0')).status).toBe(200);
    expect(await list()).toEqual(['many-3', 'many-4', 'many-5', 'many-0']);
    expect(await unload(newId())).toBe(404);
  });

  test('a version asked for by many at once is loaded once', async () => {
    await serving.registry.add('stampede', fixture('classifier'));
    const before = serving.registry.asked();
    const answers = await Promise.all(Array.from({ length: 20 }, () => serving.classify('stampede')));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(serving.registry.asked() - before).toBe(1);
  });
});

describe('events', () => {
  async function announce(version: ResolvedVersion): Promise<void> {
    const {
      modelVersionId,
      modelId,
      model,
      version: label,
      ordinal,
      stage,
      packageDigest,
      manifest,
    } = version;
    const data: EventData<typeof ModelVersionRegistered> = {
      modelVersionId,
      modelId,
      model,
      version: label,
      ordinal,
      stage,
      packageDigest,
      modelDigest: packageDigest,
      files: manifest.files,
      isReused: false,
      requestId: modelId,
    };
    await serving.database.transaction(async (tx) => {
      await createOutbox(busTables, 'registry').append(tx, Registered, modelVersionId, data, {
        tenant: 'acme',
      });
    });
    const relay = createOutboxRelay({
      database: serving.database,
      tables: busTables,
      bus: serving.bus,
      schema: 'inference',
    });
    relay.start();
    await eventually(async () =>
      expect(serving.facts.some(({ data }) => data.modelVersionId === modelVersionId)).toBe(true),
    );
    await relay.stop();
  }

  const factOf = (version: ResolvedVersion, name: string) =>
    eventually(async () => {
      const found = serving.facts.find(
        ({ subject, data }) => subject.includes(name) && data.modelVersionId === version.modelVersionId,
      );
      if (found === undefined) throw new Error(`no ${name}`);
      return found.data;
    });

  test('a registered version is loaded, warmed and announced', async () => {
    const version = await serving.registry.add('announced', fixture('classifier'));
    await announce(version);
    const loaded = await factOf(version, '.loaded.');
    expect(loaded).toMatchObject({
      model: 'announced',
      ordinal: 1,
      packageDigest: version.packageDigest,
      requestId: version.modelId,
    });
    expect(loaded.warmUpMs).toBeGreaterThan(0);
  });

  test('one that cannot be loaded is announced with the reason', async () => {
    const version = await serving.registry.add('broken', Buffer.from('not a model'));
    await announce(version);
    expect(await factOf(version, '.load-failed.')).toMatchObject({ error: { code: 'model_load_failed' } });
    const { failures } = (await (await fetch(`${serving.origin}/v1/inference/models`)).json()) as {
      failures: object[];
    };
    expect(failures).toContainEqual(expect.objectContaining({ model: 'broken', code: 'model_load_failed' }));
  });

  test('the registry may ask for a load and learns how it went', async () => {
    const good = await serving.registry.add('asked', fixture('classifier'));
    const options = { timeoutMs: 20_000 };
    const ask = (modelVersionId: string) =>
      callRpc(serving.bus, 'inference', 'load', loadVersionMethod, { modelVersionId }, options);
    expect(await ask(good.modelVersionId)).toMatchObject({
      modelVersionId: good.modelVersionId,
      warmUpMs: expect.any(Number),
    });
    const bad = await serving.registry.add('asked-bad', Buffer.from('not a model'));
    await expect(ask(bad.modelVersionId)).rejects.toMatchObject({ code: 'model_load_failed' });
  });
});
