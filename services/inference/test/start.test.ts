import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const EXIT_CONFIG = 78;

test('a front that was started ahead leaves the faults of the configuration to the supervisor', async () => {
  const child = spawn(process.execPath, ['--no-warnings', MAIN], {
    env: { PATH: process.env.PATH, MILLRACE_FRONTS: '2' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  // 'close' comes when the front, which has the same streams, is gone as well
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code).toBe(EXIT_CONFIG);
  const lines = text.trim().split('\n');
  expect(lines.every((line) => line.startsWith('config: '))).toBe(true);
  expect(lines.filter((line) => line.includes('MILLRACE_DATABASE_URL'))).toHaveLength(1);
}, 60_000);
