import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, test } from '@jest/globals';
import {
  createSupervisor,
  freePort,
  isAlive,
  livePids,
  type Part,
  type ProcessSpec,
  requirePort,
  startProcess,
  startTicksOf,
  writePidFile,
} from '../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'embedded-process-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function shell(name: string, script: string, change: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    name,
    command: '/bin/sh',
    args: ['-c', script],
    env: { PATH: process.env.PATH },
    logFile: join(folder, `${name}.log`),
    pidFile: join(folder, 'pids', `${name}.pid`),
    stopGraceMs: 2_000,
    readyTimeoutMs: 2_000,
    isReady: async () => true,
    ...change,
  };
}

test('a process that ends before it is ready is reported with its code, its last lines and its log', async () => {
  const start = startProcess(shell('broken', 'echo port taken; exit 3', { isReady: async () => false }));
  await expect(start).rejects.toThrow(
    /^broken: ended with code 3 before it was ready:\nport taken\n.*broken\.log\)$/s,
  );
});

test("of a service's JSON log the message tells level, sentence and cause", async () => {
  const line = JSON.stringify({
    level: 'fatal',
    msg: 'It could not start.',
    err: { message: 'no file', stack: 'at x' },
  });
  const start = startProcess(shell('json', `echo '${line}'; exit 1`, { isReady: async () => false }));
  await expect(start).rejects.toThrow('before it was ready:\nfatal: It could not start. no file\n');
});

test('a process that never gets ready is killed after its time', async () => {
  let pid = 0;
  const spec = shell('slow', 'sleep 60', {
    readyTimeoutMs: 150,
    async isReady(id) {
      pid = id;
      return false;
    },
    whatIsMissing: () => 'the database',
  });
  await expect(startProcess(spec)).rejects.toThrow('slow: not ready after 0.15 s:\nthe database');
  expect(startTicksOf(pid)).toBeNull();
});

test('stop asks first and kills the whole group when that does not help', async () => {
  const polite = await startProcess(
    shell('polite', 'trap "echo bye; exit 0" TERM; while :; do sleep 0.02; done'),
  );
  await delay(100);
  await polite.stop();
  expect(await polite.exited).toEqual({ code: 0, signal: null });
  expect(readFileSync(polite.logFile, 'utf8')).toBe('bye\n');
  const stubborn = await startProcess(
    shell('stubborn', 'trap "" TERM; sleep 60 & echo $!; wait; wait', { stopGraceMs: 100 }),
  );
  await delay(100);
  const child = Number(readFileSync(stubborn.logFile, 'utf8'));
  await stubborn.stop();
  expect((await stubborn.exited).signal).toBe('SIGKILL');
  await delay(50);
  expect(startTicksOf(child)).toBeNull();
});

test('a program that cannot be run is named', async () => {
  const start = startProcess(shell('absent', '', { command: '/nowhere/program' }));
  await expect(start).rejects.toThrow('absent: cannot run /nowhere/program');
});

test('a pid file of a process that is gone, or of a later one with its number, is not believed', async () => {
  const pids = join(folder, 'stale');
  writePidFile(join(pids, 'self.pid'), process.pid);
  writeFileSync(join(pids, 'reused.pid'), `${process.pid} 1\n`);
  writeFileSync(join(pids, 'garbage.pid'), 'not a pid\n');
  expect([...livePids(pids).keys()]).toEqual(['self']);
  expect(isAlive({ pid: process.pid, startTicks: 1 })).toBe(false);
});

test('a taken port gives a message with the variable that moves it', async () => {
  const port = await freePort();
  const server = createServer().listen(port, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  await expect(requirePort('gateway', port, 'MILLRACE_GATEWAY_PORT')).rejects.toThrow(
    `gateway: port ${port} is taken by another program. Stop it, or choose another port: MILLRACE_GATEWAY_PORT=${port + 1}`,
  );
  await new Promise((resolve) => server.close(resolve));
  expect(await requirePort('gateway', port, 'MILLRACE_GATEWAY_PORT')).toBe(port);
});

function partOf(spec: ProcessSpec): Part {
  return {
    name: spec.name,
    kind: 'service',
    port: null,
    logFile: spec.logFile,
    start: (signal) => startProcess({ ...spec, signal }),
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10);
}

test('a crashed part is started again, a wrongly configured one is not', async () => {
  const messages: string[] = [];
  const supervisor = createSupervisor({
    onChange: () => undefined,
    onMessage: (text) => messages.push(text),
  });
  await supervisor.start(partOf(shell('crasher', 'sleep 60')));
  await supervisor.start(partOf(shell('misled', 'sleep 0.1; exit 78')));
  const [before] = supervisor.states();
  process.kill(before?.pid ?? 0, 'SIGKILL');
  await until(() => supervisor.states()[0]?.restarts === 1 && supervisor.states()[0]?.status === 'running');
  await until(() => supervisor.states()[1]?.status === 'failed');
  expect(supervisor.states()[0]?.pid).not.toBe(before?.pid);
  expect(messages).toContain('crasher ended by SIGKILL; starting it again in 0.5 s');
  expect(messages.join()).toContain(
    'misled stays down: ended with code 78: its configuration is wrong (log: ',
  );
  await supervisor.stop([['crasher', 'misled']]);
  expect(supervisor.states().map((state) => state.status)).toEqual(['stopped', 'stopped']);
  expect([...livePids(join(folder, 'pids')).keys()]).toEqual([]);
});

test('stopping does not wait for a part that is still starting', async () => {
  const supervisor = createSupervisor({ onChange: () => undefined, onMessage: () => undefined });
  const spec = shell('starter', 'sleep 60', { isReady: async () => false, readyTimeoutMs: 30_000 });
  const start = supervisor.start(partOf(spec));
  const outcome = start.catch((error: Error) => error.message);
  await delay(50);
  const before = performance.now();
  await supervisor.stop([['starter']]);
  expect(performance.now() - before).toBeLessThan(25_000);
  expect(await outcome).toMatch('was asked to stop while it started');
});
