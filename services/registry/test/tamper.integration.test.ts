import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc } from '@millrace/bus';
import { isAppError, loadVersionMethod, ModelVersionLoaded } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase } from '@millrace/database';
import { bundleFiles, createFileSigner, generateKeyPair, MODEL_FOLDER, sha256Hex } from '@millrace/integrity';
import { blobKey } from '@millrace/storage';
import type { BundleEntry, TamperSetting } from '@millrace/testing';
import { eventually, tamperCases } from '@millrace/testing';
import { sql } from 'drizzle-orm';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from './support/registry-stack.ts';

type Json = Record<string, unknown>;
type Fact = { where: string; version: string; error: { code: string } };
/** What an intruder changes who can write to the object store and the database. */
type Stored = {
  readonly objects: readonly { readonly sha256: string; readonly path: string; readonly bytes?: Buffer }[];
  readonly signature?: Json;
  readonly manifest?: Json;
  /** The statement of which version it is; null where it is taken away. */
  readonly identity?: Json | null;
};

/** Becomes a package of two files: the graph as it came, and the one that is served. */
const MODEL = readFileSync(new URL('./fixtures/model.onnx', import.meta.url));
const SERVED = `${MODEL_FOLDER}serving/model.onnx`;

let stack: RegistryStack;
let database: Database;
let setting: TamperSetting;
let packageDigest: string;
let modelVersionId: string;
const facts: Fact[] = [];

/** A bundle as its parts are stored now. */
async function entriesOf(version: string): Promise<BundleEntry[]> {
  const { body } = await getJson(`${stack.registry.origin}/v1/models/iris/versions/${version}/bundle-parts`);
  const files = body.files as { path: string; url: string }[];
  const documents: [string, unknown][] = [
    [bundleFiles.about, { version, packageDigest: body.packageDigest }],
    [bundleFiles.manifest, body.manifest],
    [bundleFiles.signature, body.signature],
    [bundleFiles.identity, body.identity],
    [bundleFiles.history, body.history],
    [bundleFiles.historyStatement, {}],
    ...(body.attestations as { bundle: Json }[]).map(({ bundle }, i): [string, unknown] => [
      i === 0 ? bundleFiles.provenance : bundleFiles.meta,
      bundle,
    ]),
  ];
  return [
    ...documents.map(([path, value]) => ({ path, bytes: Buffer.from(JSON.stringify(value)) })),
    ...(await Promise.all(
      files.map(async ({ path, url }) => ({
        path: `${MODEL_FOLDER}${path}`,
        bytes: Buffer.from(await (await fetch(url)).arrayBuffer()),
      })),
    )),
  ];
}

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  database = createDatabase({ url: stack.databaseUrl, applicationName: 'tamper' });
  stack.bus.nc.subscribe('millrace.evt.model-version.verification-failed.v1', {
    callback: (error, message) => {
      if (error === null) facts.push(message.json());
    },
  });
  const loaded = new Set<string>();
  stack.bus.nc.subscribe(ModelVersionLoaded.subject, {
    callback: (error, message) => {
      if (error === null) loaded.add(message.json<{ version: string }>().version);
    },
  });
  for (const [version, file] of [
    ['v1', readFileSync(new URL('./fixtures/other.onnx', import.meta.url))],
    ['v2', MODEL],
  ] as const) {
    const { status, body } = await upload(
      stack.registry.origin,
      { modelId: 'iris', version, framework: 'onnx' },
      file,
    );
    expect([status, body]).toEqual([201, expect.anything()]);
  }
  const { body } = await getJson(`${stack.registry.origin}/v1/models/iris/versions/v2`);
  packageDigest = body.packageDigest as string;
  modelVersionId = body.id as string;
  setting = {
    entries: await entriesOf('v2'),
    older: await entriesOf('v1'),
    signer: createFileSigner(stack.privateKeyPem),
    stranger: createFileSigner(generateKeyPair().privateKeyPem),
  };
  // each version is loaded once for its registration: while that goes on, its files in the node cache must stay
  await eventually(() => expect([...loaded].sort()).toEqual(['v1', 'v2']), { timeoutMs: 30_000 });
  // it listens a moment before it takes requests over NATS
  await eventually(async () => expect(await load()).toBe('ok'));
}, 120_000);

afterAll(async () => {
  await database?.close();
  await stack?.stop();
});

/** What a tampered bundle means for what is stored; undefined when it changes nothing of that. */
function storedChange(tampered: readonly BundleEntry[]): Stored | undefined {
  const find = (path: string) => tampered.find((entry) => entry.path === path && (entry.type ?? '0') === '0');
  const objects = setting.entries
    .filter(({ path }) => path.startsWith(MODEL_FOLDER))
    .flatMap(({ path, bytes }) => {
      const found = find(path);
      if (found?.bytes.equals(bytes) === true) return [];
      return [{ path, sha256: sha256Hex(bytes), ...(found !== undefined && { bytes: found.bytes }) }];
    });
  const document = (path: string): Json | undefined => {
    const [before, after] = [setting.entries.find((entry) => entry.path === path), find(path)];
    if (before === undefined || after === undefined || after.bytes.equals(before.bytes)) return undefined;
    try {
      return JSON.parse(after.bytes.toString()) as Json;
    } catch {
      return undefined; // a column of JSON holds nothing else
    }
  };
  const [signature, manifest] = [document(bundleFiles.signature), document(bundleFiles.manifest)];
  const isUnbound = find(bundleFiles.identity) === undefined;
  const identity = isUnbound ? null : document(bundleFiles.identity);
  const isUnchanged = objects.length === 0 && [signature, manifest, identity].every((d) => d === undefined);
  if (isUnchanged) return undefined;
  return {
    objects,
    ...(signature && { signature }),
    ...(manifest && { manifest }),
    ...(identity !== undefined && { identity }),
  };
}

/** Changes what is stored, and gives what puts it back. */
async function tamper({ objects, signature, manifest, identity }: Stored): Promise<() => Promise<void>> {
  const row = async (of: Stored) => {
    await database.db.execute(
      sql`update registry.packages set signature = ${JSON.stringify(of.signature)}::jsonb, manifest = ${JSON.stringify(of.manifest)}::jsonb where package_digest = ${packageDigest}`,
    );
    const bound = of.identity === null ? null : JSON.stringify(of.identity);
    await database.db.execute(
      sql`update registry.model_versions set identity = ${bound}::jsonb where id = ${modelVersionId}`,
    );
  };
  const original = (path: string): Json =>
    JSON.parse(setting.entries.find((entry) => entry.path === path)?.bytes.toString() ?? 'null') as Json;
  const good = {
    objects: [],
    signature: original(bundleFiles.signature),
    manifest: original(bundleFiles.manifest),
    identity: original(bundleFiles.identity),
  };
  const blobs = setting.entries.filter(({ path }) => objects.some((object) => object.path === path));
  for (const { sha256, bytes } of objects) {
    if (bytes === undefined) await stack.storage.deleteObject(blobKey(sha256));
    else await stack.storage.putObject(blobKey(sha256), bytes);
  }
  await row({
    ...good,
    ...(signature && { signature }),
    ...(manifest && { manifest }),
    ...(identity !== undefined && { identity }),
  });
  return async () => {
    for (const { bytes } of blobs) await stack.storage.putObject(blobKey(sha256Hex(bytes)), bytes);
    await row(good);
  };
}

/** The code by which what is stored is refused: of bytes, the store's own check speaks first. */
function codeOf(change: Stored, code: string): string {
  if (change.signature !== undefined) return code;
  if (change.manifest !== undefined) return 'manifest_mismatch';
  if (change.objects.length === 0) return code;
  return change.objects[0]?.bytes === undefined ? 'artifact_missing' : 'artifact_corrupt';
}

const verify = async (): Promise<string> => {
  const { status, body } = await postJson(`${stack.registry.origin}/v1/models/iris/versions/v2/verify`, {});
  return status === 200 ? 'ok' : String(body.code);
};

/** Has inference load the version anew, from an empty node cache unless it is to be kept. */
async function load(options: { isCached?: boolean } = {}): Promise<string> {
  await fetch(`${stack.inference?.origin}/v1/inference/models/${modelVersionId}`, { method: 'DELETE' });
  if (options.isCached !== true)
    // a load that has just been put off may still write
    await rm(join(stack.cacheDirs[0] ?? '', 'cas'), { recursive: true, force: true, maxRetries: 10 });
  try {
    await callRpc(
      stack.bus,
      'inference',
      'load',
      loadVersionMethod,
      { modelVersionId },
      { timeoutMs: 20_000 },
    );
    return 'ok';
  } catch (error) {
    if (!isAppError(error)) throw error;
    return error.code;
  }
}

describe('what is stored', () => {
  test('is fine as it is', async () => {
    expect([await verify(), await load()]).toEqual(['ok', 'ok']);
  });

  const seen = new Set<string>();
  let tried = 0;
  test.each(tamperCases.map((one) => [one.name, one] as const))('%s', async (_name, { make, code }) => {
    const change = storedChange(await make(setting));
    if (change === undefined) return;
    const expected = codeOf(change, code);
    const restore = await tamper(change);
    try {
      expect(await verify()).toBe(expected);
      const isServedTouched =
        change.signature !== undefined ||
        change.manifest !== undefined ||
        change.identity !== undefined ||
        change.objects.some(({ path }) => path === SERVED);
      expect(await load()).toBe(isServedTouched ? codeOfServed(change, expected) : 'ok');
      seen.add(expected);
      tried += 1;
    } finally {
      await restore();
    }
  });

  test('is fine again, and each kind of refusal was a fact and was counted', async () => {
    expect([await verify(), await load()]).toEqual(['ok', 'ok']);
    expect(tried).toBeGreaterThanOrEqual(25);
    expect(seen.size).toBeGreaterThanOrEqual(7);
    const told = (where: string) =>
      new Set(facts.filter((fact) => fact.where === where).map((f) => f.error.code));
    await eventually(() => {
      for (const code of seen) expect(told('registry')).toContain(code);
      expect(told('inference')).toEqual(new Set(['artifact_corrupt', 'artifact_missing']));
    });
    expect(facts.filter(({ version }) => version !== 'v2')).toEqual([]);
    // the same refusal again is counted, but no fact
    expect(facts.length).toBe(told('registry').size + told('inference').size);
    const metrics = await (await fetch(`${stack.registry.origin}/metrics`)).text();
    for (const code of seen)
      expect(metrics).toMatch(
        new RegExp(`millrace_registry_verification_failures_total\\{[^}]*code="${code}"[^}]*\\} [1-9]`),
      );
  });
});

/** Of the object that is served itself. */
function codeOfServed(change: Stored, expected: string): string {
  const object = change.objects.find(({ path }) => path === SERVED);
  if (change.signature !== undefined || change.manifest !== undefined || object === undefined)
    return expected;
  return object.bytes === undefined ? 'artifact_missing' : 'artifact_corrupt';
}

describe('an older version in the place of a newer one', () => {
  type Row = { id: string; label: string; ordinal: number; package_digest: string; identity: Json | null };
  const rowOf = async (label: string): Promise<Row> => {
    const { rows } = await database.db.execute(
      sql`select id, label, ordinal, package_digest, identity from registry.model_versions where label = ${label}`,
    );
    return rows[0] as Row;
  };
  const write = ({ id, label, ordinal, package_digest: digest, identity }: Row) =>
    database.db.execute(
      sql`update registry.model_versions set label = ${label}, ordinal = ${ordinal}, package_digest = ${digest}, identity = ${identity === null ? null : JSON.stringify(identity)}::jsonb where id = ${id}`,
    );

  test.each<[string, (newer: Row, older: Row) => Row, string]>([
    [
      'whose package is pointed to',
      (newer, older) => ({ ...newer, package_digest: older.package_digest }),
      'manifest_mismatch',
    ],
    [
      'whose package and statement are taken',
      (newer, older) => ({ ...newer, package_digest: older.package_digest, identity: older.identity }),
      'manifest_mismatch',
    ],
    [
      'whose statement is taken',
      (newer, older) => ({ ...newer, identity: older.identity }),
      'manifest_mismatch',
    ],
    ['without a statement', (newer) => ({ ...newer, identity: null }), 'identity_missing'],
    ['under another label', (newer) => ({ ...newer, label: 'v9' }), 'manifest_mismatch'],
    ['under another ordinal', (newer) => ({ ...newer, ordinal: 9 }), 'manifest_mismatch'],
  ])('%s is refused by who verifies and by who loads', async (_name, change, code) => {
    const [newer, older] = [await rowOf('v2'), await rowOf('v1')];
    await write(change(newer, older));
    try {
      const url = `${stack.registry.origin}/v1/models/iris/versions?packageDigest=${packageDigest}`;
      expect((await getJson(url)).status).toBe(200);
      const label = (await rowOf('v9'))?.label ?? 'v2';
      const answer = await postJson(`${stack.registry.origin}/v1/models/iris/versions/${label}/verify`, {});
      expect(answer.body.code).toBe(code);
      expect(await load()).toBe(code);
    } finally {
      await write(newer);
    }
    expect([await verify(), await load()]).toEqual(['ok', 'ok']);
  });

  test('of a release that signed no names is bound once, when its history and bytes are intact', async () => {
    const [newer, older] = [await rowOf('v2'), await rowOf('v1')];
    const none = null;
    // what an intruder makes of an old version is not bound
    await write({ ...newer, identity: none, package_digest: older.package_digest });
    await write({ ...older, identity: none });
    await stack.startReplica('registry', { MILLRACE_SIGN_OLD_VERSIONS: 'true' });
    expect((await rowOf('v1')).identity).toMatchObject({ dsseEnvelope: expect.anything() });
    expect((await rowOf('v2')).identity).toBeNull();
    await write({ ...newer, identity: none });
    expect(await load()).toBe('identity_missing');
    await stack.startReplica('registry', { MILLRACE_SIGN_OLD_VERSIONS: 'true' });
    expect([await verify(), await load()]).toEqual(['ok', 'ok']);
  });
});
