import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isLongRun, runClient, startMlflowServer } from '@millrace/testing';
import { unprovenEndpoints } from '../support/mlflow-support.ts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { postJson, startRegistryStack } from '../support/registry-stack.ts';

const CLIENT_TIMEOUT_MS = 240_000;
/** Environments are made first where they are not there. */
const ENVIRONMENT_TIMEOUT_MS = 900_000;
const MIB = 2 ** 20;
/** Over the 200 MB in parts of 8 MiB; a server that held the file would grow by all of it. */
const BIG_BYTES = (isLongRun ? 1024 : 200) * MIB;
/** What the first requests compile, the young space, and parts on their way. */
const GROWTH_BYTES_MAX = 150 * MIB;

const program = (name: string) => fileURLToPath(new URL(`./clients/${name}`, import.meta.url));
let stack: RegistryStack;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-mlflow-'));
  stack = await startRegistryStack({ withInference: false });
});
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The most memory that the registry ever had resident. */
function peakBytes(): number {
  const status = readFileSync(`/proc/${stack.registry.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

const sklearn = { C: '0.5', accuracy: true, tags: 'LogisticRegression', same: true, pyfunc: true };
const seenByAll = {
  experiments: {
    same: true,
    location: true,
    tag: 'eyes',
    found: true,
    deleted: true,
    refused: expect.stringMatching(/^INVALID_PARAMETER_VALUE: .*must be in the 'active' state/),
    restored: 'active',
    taken: expect.stringMatching(/^RESOURCE_ALREADY_EXISTS/),
    missing: expect.stringMatching(/^RESOURCE_DOES_NOT_EXIST/),
    byName: true,
  },
  runs: {
    status: 'FINISHED',
    ended: true,
    params: { lr: '0.1', layers: '[1, 2]' },
    loss: 0.2,
    nan: true,
    infinities: [true, true],
    tiny: true,
    history: [0, 1, 2, 3, 4].map((step) => [step, 1 / (step + 1)]),
    children: ['child'],
    conflict: expect.stringMatching(/^INVALID_PARAMETER_VALUE: .*Changing param values is not allowed/),
    deleted: true,
    unwritable: expect.stringMatching(/^INVALID_PARAMETER_VALUE: .*must be in the 'active' state/),
    renamed: 'renamed',
    stage: false,
  },
  batches: {
    metrics: { m0: 990, m9: 999 },
    params: [100, 6_000],
    tags: [100, 5_000],
    over: 1_001,
    many: true,
    latest: 399,
  },
  artifacts: {
    files: ['deep/er/x.json', 'notes.md', 'out/a/b/deep.bin', 'out/a/größe ✓ 100%.txt', 'out/empty.txt'],
    root: [
      ['big.bin', false, BIG_BYTES],
      ['deep', true, null],
      ['notes.md', false, 12],
      ['out', true, null],
    ],
    a: [
      ['out/a/b', true, null],
      ['out/a/größe ✓ 100%.txt', false, 4],
    ],
    file: [],
    text: '# other text',
    dict: { a: [1, 2] },
    big: true,
    missing: expect.not.stringMatching(/^accepted/),
  },
};

test(
  "MLflow 3's client works as it is, and a large file does not stay in memory",
  async () => {
    const before = peakBytes();
    const seen = await runClient('clients-mlflow3', program('mlflow_client.py'), [
      stack.registry.origin,
      await mkdtemp(join(folder, 'v3-')),
      String(BIG_BYTES),
    ]);
    expect(seen).toMatchObject({
      version: expect.stringMatching(/^3\./),
      ...seenByAll,
      autolog: sklearn,
      models: {
        status: 'READY',
        source: true,
        tags: 'me',
        gone: false,
        found: true,
        metric: [['score', 0.75]],
        outputs: true,
        datasets: [['code', 'train']],
        byContext: true,
        deleted: 'RESOURCE_DOES_NOT_EXIST',
      },
    });
    expect(peakBytes() - before).toBeLessThan(GROWTH_BYTES_MAX);
  },
  CLIENT_TIMEOUT_MS,
);

test(
  "MLflow 2's client works as it is",
  async () => {
    const seen = await runClient('clients-mlflow2', program('mlflow_client.py'), [
      stack.registry.origin,
      await mkdtemp(join(folder, 'v2-')),
      String(16 * MIB),
    ]);
    const [, ...root] = seenByAll.artifacts.root;
    expect(seen).toMatchObject({
      version: expect.stringMatching(/^2\.22\./),
      ...seenByAll,
      artifacts: { ...seenByAll.artifacts, root: [['big.bin', false, 16 * MIB], ...root] },
      autolog: { ...sklearn, history: ['hand'] },
    });
  },
  CLIENT_TIMEOUT_MS,
);

/** What MLflow's own server answers; the long run asks it again. */
const golden = JSON.parse(
  readFileSync(new URL('../fixtures/mlflow-searches.json', import.meta.url), 'utf8'),
) as Record<string, unknown>;

test(
  "searches find and refuse what MLflow's own server does",
  async () => {
    const search = (origin: string) => runClient('clients-mlflow3', program('mlflow_search.py'), [origin]);
    expect(await search(stack.registry.origin)).toEqual(golden);
    if (!isLongRun) return;
    const mlflow = await startMlflowServer({ workers: 1 });
    try {
      expect(await search(mlflow.origin)).toEqual(golden);
    } finally {
      await mlflow.stop();
    }
  },
  CLIENT_TIMEOUT_MS,
);

test('every endpoint that the README names this test for was answered', async () => {
  expect(await unprovenEndpoints(stack.registry.origin, 'tracking/clients')).toEqual([]);
});

/** Frameworks whose environments are too large for a quick run (1 to 2.4 GB). */
const AUTOLOGS = [
  [
    'keras',
    'clients-mlflow-keras',
    {
      params: { epochs: '4', batch_size: '16', opt_name: 'adam', validation_split: '0.25' },
      metrics: expect.arrayContaining(['accuracy', 'loss', 'val_accuracy', 'val_loss']),
      losses: [0, 1, 2, 3],
      same: true,
      datasets: true,
    },
  ],
  [
    'torch',
    'clients-mlflow-torch',
    { params: { epochs: '3', optimizer_name: 'Adam', lr: '0.05' }, losses: [0, 1, 2], falls: true },
  ],
] as const;

if (isLongRun)
  test.each(AUTOLOGS)(
    "MLflow's autologging of %s logs, registers and loads as it is",
    async (framework, environment, expected) => {
      const { origin } = stack.registry;
      const seen = await runClient(environment, program(`autolog_${framework}.py`), [origin], {
        timeoutMs: CLIENT_TIMEOUT_MS,
      });
      const same = { status: 'FINISHED', summary: true, version: ['READY', true], predictions: true };
      expect(seen).toEqual({ ...same, ...expected });
      const version = `${origin}/v1/models/${framework}%20autolog/versions/1`;
      expect((await postJson(`${version}/verify`, {})).body).toMatchObject({ verified: true });
    },
    ENVIRONMENT_TIMEOUT_MS,
  );
