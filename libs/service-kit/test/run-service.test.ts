import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const FIXTURE = fileURLToPath(new URL('./fixtures/service.ts', import.meta.url));

async function run(behaviour: string, env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [FIXTURE, behaviour], {
    env: { ...process.env, ...env },
    stdio: 'pipe',
  });
  let output = '';
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const onText = (text: Buffer) => {
    output += text.toString();
    if (output.includes('"started"') && behaviour !== 'rejects') child.kill('SIGTERM');
  };
  child.stdout.on('data', onText);
  child.stderr.on('data', onText);
  return { status: await exited, output };
}

test('SIGTERM closes and exits 0', async () => {
  const { status, output } = await run('works');
  expect({ status, isStopped: output.includes('"stopped"') }).toEqual({ status: 0, isStopped: true });
});

test('configuration faults are all printed and exit 78', async () => {
  const { status, output } = await run('works', { MILLRACE_PORT: 'x', MILLRACE_LOG_LEVEL: 'loud' });
  expect(status).toBe(78);
  expect(output).toContain('config: MILLRACE_PORT');
  expect(output).toContain('config: MILLRACE_LOG_LEVEL');
});

test.each([
  ['fails', 'no database'],
  ['rejects', 'lost'],
  ['hangs', 'over 500 ms'],
])('a service that %s exits 1 and says why', async (behaviour, reason) => {
  const { status, output } = await run(behaviour);
  expect(status).toBe(1);
  expect(output).toContain('"fatal"');
  expect(output).toContain(reason);
});
