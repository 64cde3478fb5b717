import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ImportReport } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import type { MlflowServerProcess } from '@millrace/testing';
import { isLongRun, runClient, startMlflowServer } from '@millrace/testing';
import type { Platform } from './fixtures.ts';
import { millrace, NOWHERE, startPlatform } from './fixtures.ts';

const TIMEOUT_MS = 600_000;
/** MLflow's client imports scikit-learn anew for each program and waits for each model that it logs. */
const CLIENT_TIMEOUT_MS = 240_000;
const PROGRAM = fileURLToPath(new URL('./clients/mlflow_content.py', import.meta.url));
type Dump = {
  runs: Record<string, { tags: Record<string, string> }>;
  registered: Record<string, { versions: [version: string, description: string, ...unknown[]][] }>;
};

let platform: Platform;
let mlflow: MlflowServerProcess;
let gateway: { url: string; token: string };

const connectionOf = ({ home }: Platform) =>
  JSON.parse(readFileSync(join(home, 'connection.json'), 'utf8')) as { gateway: string; token: string };

beforeAll(async () => {
  [platform, mlflow] = await Promise.all([startPlatform(), startMlflowServer({ workers: 1 })]);
  const { gateway: url, token } = connectionOf(platform);
  gateway = { url, token };
  await runClient('clients-mlflow3', PROGRAM, ['fill', mlflow.origin], { timeoutMs: CLIENT_TIMEOUT_MS });
}, TIMEOUT_MS);
afterAll(async () => {
  await mlflow?.stop();
  await platform?.stop();
});

const dump = async (uri: string, token?: string): Promise<Dump> =>
  (await runClient('clients-mlflow3', PROGRAM, ['dump', uri], {
    env: token === undefined ? {} : { MLFLOW_TRACKING_TOKEN: token },
    timeoutMs: CLIENT_TIMEOUT_MS,
  })) as Dump;
const importFrom = (uri: string, ...more: string[]) =>
  millrace(['import', 'mlflow', '--uri', uri, '--json', ...more], { env: { MILLRACE_HOME: platform.home } });

test(
  'a real MLflow server is copied once, and what its client reads is the same on both sides',
  async () => {
    const planned = await importFrom(mlflow.origin, '--dry-run');
    expect(planned.json()).toMatchObject({
      isDryRun: true,
      experiments: { created: 3, present: 1 },
      runs: { copied: 7, unchanged: 0 },
      loggedModels: { copied: 1, present: 0 },
      models: { created: 2, present: 0 },
      versions: { copied: 4, present: 0 },
    });

    const first = await importFrom(mlflow.origin);
    expect(first.json()).toMatchObject({
      failures: 0,
      failed: [],
      runs: { copied: 7 },
      loggedModels: { copied: 1 },
      versions: { copied: 4 },
      aliases: 2,
      renumbered: [],
    });
    expect({ code: first.code, err: first.err }).toEqual({ code: 0, err: '' });
    const [theirs, ours] = [await dump(mlflow.origin), await dump(gateway.url, gateway.token)];
    expect(ours).toEqual(theirs);
    expect(theirs.runs['weather / child']?.tags).toMatchObject({ 'mlflow.parentRunId': 'parent' });

    const again = await importFrom(mlflow.origin);
    expect(again.json()).toMatchObject({
      failures: 0,
      experiments: { created: 0, present: 4 },
      // the one that has not ended is compared again, and found the same
      runs: { copied: 1, unchanged: 6 },
      loggedModels: { copied: 0, present: 1 },
      artifacts: { files: 0 },
      models: { created: 0, present: 2 },
      versions: { copied: 0, present: 4 },
      aliases: 0,
    });
    expect(await dump(gateway.url, gateway.token)).toEqual(theirs);
  },
  TIMEOUT_MS,
);

test(
  'what happened there since is brought over',
  async () => {
    await runClient('clients-mlflow3', PROGRAM, ['more', mlflow.origin], { timeoutMs: CLIENT_TIMEOUT_MS });
    const { run, report } = await importWithout('late.txt');
    expect(report).toMatchObject({
      failures: 1,
      failed: [
        {
          what: `file late.txt of run ${run}`,
          why: expect.stringMatching(/^MLflow server at .*: Internal Server Error$/),
        },
      ],
      runs: { copied: 3, unchanged: 4 },
      artifacts: { files: 0 },
      aliases: 1,
    });
    // the run whose file did not come is looked at again
    expect((await importFrom(mlflow.origin)).json()).toMatchObject({
      failures: 0,
      runs: { copied: 1, unchanged: 6 },
      artifacts: { files: 1 },
      aliases: 0,
    });
    expect(await dump(gateway.url, gateway.token)).toEqual(await dump(mlflow.origin));
  },
  TIMEOUT_MS,
);

/** An import from a server that, as MLflow 2 for some names, answers 500 when it is to send one file. */
async function importWithout(name: string): Promise<{ run: string | undefined; report: ImportReport }> {
  let run: string | undefined;
  const client = createClient({
    ...gateway,
    async fetch(input, init) {
      const url = String(input);
      const isIt = url.startsWith(mlflow.origin) && url.endsWith(`/${name}`);
      if (!isIt) return await fetch(input, init);
      run = /\/([0-9a-f]{32})\/artifacts\//.exec(url)?.[1];
      return new Response('Internal Server Error', { status: 500 });
    },
  });
  return { report: await client.imports.mlflow({ uri: mlflow.origin }), run };
}

// some thirty imports, one after the other
if (isLongRun)
  test(
    'an import whose answers are lost goes on each time and ends with everything once',
    async () => {
      await runClient('clients-mlflow3', PROGRAM, ['gap', mlflow.origin], { timeoutMs: CLIENT_TIMEOUT_MS });
      const other = await startPlatform();
      try {
        const { gateway: url, token } = connectionOf(other);
        let answersLeft = 0;
        let lost = 0;
        const client = createClient({
          url,
          token,
          async fetch(input, init) {
            const answer = await fetch(input, init);
            answersLeft -= 1;
            if (answersLeft > 0) return answer;
            await answer.body?.cancel();
            lost += 1;
            throw new TypeError('the connection was lost');
          },
        });
        let report: ImportReport | undefined;
        for (let answers = 5; report === undefined; answers += 13) {
          answersLeft = answers;
          report = await client.imports.mlflow({ uri: mlflow.origin }).catch((error: unknown) => {
            expect(error).toMatchObject({
              code: 'dependency_unavailable',
              message: expect.stringMatching(/run the import again/),
            });
            return undefined;
          });
        }
        expect(lost).toBeGreaterThan(5);
        expect(report).toMatchObject({ failures: 0 });
        const [theirs, ours] = [await dump(mlflow.origin), await dump(url, token)];
        expect({ ...ours, registered: {} }).toEqual({ ...theirs, registered: {} });
        // the numbers follow each other here
        const numbers = ({ registered }: Dump) =>
          Object.values(registered).map(({ versions }) =>
            versions.map(([version, ...words]) => [version, words[0]]),
          );
        expect(numbers(theirs)).toEqual([
          [
            ['1', 'the first'],
            ['3', ''],
          ],
          [['1', 'the first']],
        ]);
        expect(numbers(ours)).toEqual([
          [
            ['1', 'the first'],
            ['2', ''],
          ],
          [['1', 'the first']],
        ]);
      } finally {
        await other.stop();
      }
    },
    TIMEOUT_MS,
  );

// installs MLflow 2 with its server
if (isLongRun)
  test(
    'a server of MLflow 2, which has no logged models, is copied once as well',
    async () => {
      const old = await startMlflowServer({ environment: 'clients-mlflow2-server', workers: 1 });
      const other = await startPlatform();
      try {
        const { gateway: url, token } = connectionOf(other);
        const client = async (what: string, uri: string, env: NodeJS.ProcessEnv = {}) =>
          await runClient('clients-mlflow2-server', PROGRAM, [what, uri], {
            env,
            timeoutMs: CLIENT_TIMEOUT_MS,
          });
        const take = () =>
          millrace(['import', 'mlflow', '--uri', old.origin, '--json'], {
            env: { MILLRACE_HOME: other.home },
          });
        await client('fill', old.origin);
        expect((await take()).json()).toMatchObject({
          failures: 0,
          failed: [],
          runs: { copied: 7 },
          loggedModels: { copied: 0 },
          models: { created: 2 },
          versions: { copied: 4 },
          aliases: 2,
        });
        const seen = async (uri: string, env: NodeJS.ProcessEnv = {}) =>
          (await client('dump', uri, env)) as Dump;
        const theirs = await seen(old.origin);
        expect(Object.keys(theirs.runs)).toHaveLength(7);
        expect(await seen(url, { MLFLOW_TRACKING_TOKEN: token })).toEqual(theirs);
        expect((await take()).json()).toMatchObject({
          failures: 0,
          runs: { copied: 1, unchanged: 6 },
          artifacts: { files: 0 },
          versions: { copied: 0, present: 4 },
        });
      } finally {
        await Promise.all([other.stop(), old.stop()]);
      }
    },
    TIMEOUT_MS,
  );

test('what is wrong with the call is said', async () => {
  expect(await millrace(['import', 'weights'])).toMatchObject({
    code: 64,
    err: expect.stringMatching(/mlflow/),
  });
  expect(await millrace(['import', 'mlflow'])).toMatchObject({ code: 64 });
  expect((await importFrom('sqlite:///mlflow.db')).err).toMatch(/begins with http/);
  const nobody = await importFrom(NOWHERE);
  expect([nobody.code, nobody.err]).toEqual([
    69,
    expect.stringMatching(/MLflow server at .* does not answer/),
  ]);
  expect((await importFrom(gateway.url)).code).toBe(77);
  expect((await importFrom(mlflow.origin, '--experiment', 'nobody')).err).toMatch(/no experiment 'nobody'/);
  expect((await importFrom(`${mlflow.origin}/health`)).err).toMatch(/MLFLOW_TRACKING_URI|MLflow server/);
});
