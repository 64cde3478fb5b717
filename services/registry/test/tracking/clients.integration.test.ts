import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ensureEnvironment, environmentsRoot } from '@millrace/embedded';
import type { TestProcess } from '@millrace/testing';
import { isLongRun, runClient, startTestProcess } from '@millrace/testing';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack } from '../support/registry-stack.ts';

const CLIENT_TIMEOUT_MS = 240_000;
const MIB = 2 ** 20;
/** Over the 200 MB in parts of 8 MiB; a server that held the file would grow by all of it. */
const BIG_BYTES = (isLongRun ? 1024 : 200) * MIB;
const GROWTH_BYTES_MAX = 120 * MIB;

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

/** MLflow's own server on SQLite; it says where it listens. */
async function startMlflow(): Promise<{ process: TestProcess; origin: string }> {
  const { python } = await ensureEnvironment('clients-mlflow3', environmentsRoot(process.env), process.env);
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const store = `sqlite:///${join(folder, 'mlflow.db')}`;
  const server = ['server', '--host', '127.0.0.1', '--port', String(port), '--workers', '1'];
  const mlflow = await startTestProcess({
    name: 'mlflow-server',
    command: python,
    args: ['-m', 'mlflow', ...server, '--backend-store-uri', store, '--artifacts-destination', folder],
    env: { MLFLOW_DISABLE_TELEMETRY: 'true' },
    isReady: () =>
      fetch(`${origin}/health`).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  return { process: mlflow, origin };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

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
    const mlflow = await startMlflow();
    try {
      expect(await search(mlflow.origin)).toEqual(golden);
    } finally {
      await mlflow.process.stop();
    }
  },
  CLIENT_TIMEOUT_MS,
);
