import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

const ROOT = resolve(fileURLToPath(import.meta.url), '../../..');
const INSTALL_TIMEOUT_MS = 120_000;
const TARBALLS = ['millrace-sdk-0.0.0.tgz', 'millrace-cli-0.0.0.tgz'];
const NODE_24 = join(ROOT, 'node_modules', '.bin', 'node');
const COMMANDS = ['status', 'train', 'jobs', 'logs', 'models', 'predict', 'verify', 'dlq', 'doctor'];

/** A module of a user: one call that succeeds, one that the platform refuses. */
const USER_MODULE = `import type { Client, Prediction } from '@millrace/sdk';
import { AppError, createClient } from '@millrace/sdk';

const client: Client = createClient({ url: process.argv[2] ?? '', token: 'mlr_test' });
const answer: Prediction = await client.predict({ modelId: 'digits', features: { input: [1, 2] } });
const refusal: unknown = await client.models.get('absent').catch((error: unknown) => error);
// @ts-expect-error the client has types, so this is known to be no method
const missing: undefined = client.fly;
const code = refusal instanceof AppError ? refusal.code : 'no AppError';
console.log(JSON.stringify({ prediction: answer.prediction, code, missing: missing === undefined }));
`;

/** What a user has: the environment without the tools of this repository and without jest's options. */
const { NODE_OPTIONS: _, PATH = '', ...rest } = process.env;
const env = {
  ...rest,
  PATH: PATH.split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .join(delimiter),
};

let folder: string;
let server: Server;
let url: string;
const seen: { path: string; authorization: string | undefined; body: unknown }[] = [];

async function run(command: string, args: readonly string[], cwd = folder): Promise<string> {
  return (await promisify(execFile)(command, [...args], { cwd, env, timeout: INSTALL_TIMEOUT_MS })).stdout;
}

/** The smallest gateway: answers predictions, knows no model. */
function startGateway(): Server {
  return createServer(async (request, response) => {
    const isPrediction = request.url === '/predict';
    const body = request.method === 'POST' ? await json(request) : undefined;
    seen.push({ path: request.url ?? '', authorization: request.headers.authorization, body });
    const problem = { code: 'model_not_found', detail: 'There is no model absent.' };
    response.writeHead(isPrediction ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isPrediction ? { prediction: 7, confidence: 0.9 } : problem));
  }).listen(0, '127.0.0.1');
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-packages-'));
  server = startGateway();
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const workspaces = ['-w', '@millrace/sdk', '-w', '@millrace/cli'];
  await run('npm', ['pack', ...workspaces, '--pack-destination', folder, '--loglevel=error'], ROOT);
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quietly, ...TARBALLS.map((name) => `./${name}`)]);
}, INSTALL_TIMEOUT_MS);

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

test('the packages hold JavaScript, types and no package of this repository', () => {
  for (const name of ['sdk', 'cli']) {
    const installed = join(folder, 'node_modules', '@millrace', name);
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'src/index.js', 'src/index.d.ts']));
    expect(files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([]);
    const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    expect(Object.keys(dependencies).filter((one) => one.startsWith('@millrace/'))).toEqual([]);
  }
});

test.each([
  ['the Node of this machine', 'node'],
  ['Node 24', NODE_24],
])('the command line runs on %s', async (_name, node) => {
  const millrace = join(folder, 'node_modules', '.bin', 'millrace');
  const help = await run(node, [millrace, '--help']);
  for (const command of COMMANDS) expect(help).toContain(`  ${command}`);
  expect(await run(node, [millrace, '--version'])).toBe('0.0.0\n');
  const predict = ['predict', 'digits', '--features', '{"input":[3]}', '--json', '--url', url];
  expect(JSON.parse(await run(node, [millrace, ...predict]))).toMatchObject({ prediction: 7 });
  expect(seen.at(-1)).toMatchObject({ path: '/predict', body: { features: { input: [3] } } });
});

test('npx finds the command line', async () => {
  expect(await run('npx', ['--no-install', 'millrace', '--version'])).toBe('0.0.0\n');
});

test('the SDK has types, calls a platform and throws its errors', async () => {
  const compiler = {
    ...{ module: 'nodenext', target: 'es2022', strict: true, skipLibCheck: false },
    ...{ types: ['node'], typeRoots: [join(ROOT, 'node_modules', '@types')] },
  };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: compiler, files: ['user.ts'] }),
  );
  writeFileSync(join(folder, 'user.ts'), USER_MODULE);
  await run(NODE_24, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.']);
  for (const node of ['node', NODE_24]) {
    seen.length = 0;
    expect(JSON.parse(await run(node, ['user.js', url]))).toEqual({
      prediction: 7,
      code: 'model_not_found',
      missing: true,
    });
    expect(seen).toEqual([
      {
        path: '/predict',
        authorization: 'Bearer mlr_test',
        body: { modelId: 'digits', features: { input: [1, 2] } },
      },
      { path: '/v1/models/absent', authorization: 'Bearer mlr_test', body: undefined },
    ]);
  }
});
