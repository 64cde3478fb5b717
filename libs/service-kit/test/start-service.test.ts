import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const FIXTURE = fileURLToPath(new URL('./fixtures/started-service.ts', import.meta.url));
const env = { ...process.env, MILLRACE_AUTH_MODE: 'local', MILLRACE_AUTH_PUBLIC_KEY_FILE: 'unread' };

/** Runs the fixture, calls `onText` with all output so far whenever there is more, and waits for its end. */
async function run(extra: NodeJS.ProcessEnv, onText: (output: string, kill: () => void) => void = () => {}) {
  const child = spawn(process.execPath, [FIXTURE], { env: { ...env, ...extra }, stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      output += text.toString();
      onText(output, () => child.kill('SIGTERM'));
    });
  const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { status, output, steps: output.split('\n').filter((line) => /^[a-z ]+$/.test(line)) };
}

test('a service opens in order and closes in the opposite one, answering what was asked before', async () => {
  let answer: Promise<number> | undefined;
  const { status, steps } = await run({}, (output, kill) => {
    const port = /"port":(\d+)/.exec(output)?.[1];
    if (port !== undefined && answer === undefined)
      answer = fetch(`http://127.0.0.1:${port}/slow`).then((response) => response.status);
    if (output.includes('requested') && !output.includes('answered')) kill();
  });
  expect(steps).toEqual([
    'connected fixture',
    'built hello',
    'requested',
    'answered',
    'parts closed',
    'connections closed',
  ]);
  expect(await answer).toBe(200);
  expect(status).toBe(0);
});

test('a wrong configuration ends it before it connects to anything', async () => {
  const { status, output, steps } = await run({ MILLRACE_PORT: 'x', MILLRACE_AUTH_MODE: 'none' });
  expect(status).toBe(78);
  expect(output).toContain('config: MILLRACE_PORT');
  expect(output).toContain('config: MILLRACE_AUTH_MODE');
  expect(steps).toEqual([]);
});

test('without keys it refuses to be reached from elsewhere', async () => {
  const { status, output } = await run({ MILLRACE_HOST: '0.0.0.0' });
  expect(status).toBe(78);
  expect(output).toContain('needs MILLRACE_HOST to be a loopback address');
});
