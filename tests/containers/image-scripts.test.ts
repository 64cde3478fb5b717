import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { findPython, nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';

const run = promisify(execFile);
const WORKER = join(REPOSITORY_ROOT, 'deploy', 'docker', 'worker');
let folder: string;
let python: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-image-'));
  python = (await findPython(process.env)).executable;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Exit status and output of a program; `env` is all of its environment. */
async function outcome(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ status: number; said: string }> {
  try {
    return { status: 0, said: (await run(command, args, { env, cwd: folder })).stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, said: stdout + stderr };
  }
}

async function listening(server: Server | ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

describe('the health check of a service', () => {
  const script = join(REPOSITORY_ROOT, 'scripts', 'containers', 'image', 'healthcheck.ts');
  const check = (port: number) => outcome(nodeBinary(), [script], { MILLRACE_PORT: String(port) });

  test('follows what the service says of itself', async () => {
    let status = 200;
    const asked: (string | undefined)[] = [];
    const server = createHttpServer((request, reply) => {
      asked.push(request.url);
      reply.writeHead(status).end('{"postgres":"down"}');
    });
    const port = await listening(server);
    expect(await check(port)).toEqual({ status: 0, said: '' });
    status = 503;
    expect(await check(port)).toEqual({ status: 1, said: '503 {"postgres":"down"}\n' });
    expect(asked).toEqual(['/health/ready', '/health/ready']);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect((await check(port)).status).toBe(1);
  });
});

describe('a worker in a container', () => {
  const start = (env: NodeJS.ProcessEnv = {}) =>
    outcome(python, [join(WORKER, 'start_worker.py'), join(folder, 'worker.env'), 'shown'], {
      PYTHONPATH: folder,
      ...env,
    });

  test('becomes its module, with the variables of the file where none was set', async () => {
    const shown = ['import os, sys', 'print(__name__, sys.argv, os.environ.get("A"), os.environ.get("B"))'];
    writeFileSync(join(folder, 'shown.py'), shown.join('\n'));
    expect((await start()).said).toBe(
      "__main__ ['shown'] None None\n".replace("'shown'", `'${folder}/shown.py'`),
    );
    writeFileSync(join(folder, 'worker.env'), '# secrets\nA=nats://worker:p=q@nats:4222\n\nB=2\n');
    expect((await start({ B: 'mine' })).said).toContain(' nats://worker:p=q@nats:4222 mine\n');
  });

  test('a line that is none is named by its number, and not shown', async () => {
    writeFileSync(join(folder, 'worker.env'), 'A=1\nsecret-without-name\n');
    const { status, said } = await start();
    expect(status).toBe(1);
    expect(said).toContain('line 2 is not NAME=value');
    expect(said).not.toContain('secret-without-name');
  });

  test('is healthy while it is connected to NATS', async () => {
    const server = createServer();
    const port = await listening(server);
    const env = { MILLRACE_NATS_URL: `nats://worker:secret@127.0.0.1:${port}` };
    const check = () => outcome(python, [join(WORKER, 'healthcheck.py'), join(folder, 'none.env')], env);
    expect(await check()).toEqual({ status: 1, said: `No connection to NATS on port ${port}.\n` });
    const client = connect(port, '127.0.0.1');
    await new Promise((resolve) => client.once('connect', resolve));
    expect((await check()).status).toBe(0);
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
});
