import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { findConnection } from '../src/connection.ts';
import { bytes, duration, table } from '../src/format.ts';
import { millrace, NOWHERE } from './fixtures.ts';

const NAMES = [
  'status',
  'train',
  'jobs',
  'logs',
  'models',
  'predict',
  'batch',
  'features',
  'export',
  'upload',
  'gc',
  'approvals',
  'approved',
  'audit',
  'verify',
  'webhooks',
  'keys',
  'principals',
  'tenants',
  'dlq',
  'doctor',
];

describe('arguments', () => {
  test('help names every command and the exit codes, --version the version; no command is a usage error', async () => {
    const help = await millrace(['--help']);
    expect(help.code).toBe(0);
    for (const name of NAMES) expect(help.out).toContain(`  ${name}`);
    expect(help.out).toContain('Exit codes');
    expect((await millrace([])).code).toBe(64);
    expect(await millrace(['--version'])).toMatchObject({ code: 0, out: '0.0.0\n' });
  });

  test.each(NAMES)('%s --help shows how to write it', async (name) => {
    const help = await millrace([name, '--help']);
    expect(help.code).toBe(0);
    expect(help.out).toMatch(new RegExp(`^millrace ${name}`));
  });

  test.each([
    [['fly'], "no command 'fly'"],
    [['status', '--jsno'], '--jsno'],
    [['features', 'get', 'v'], 'ENTITY is missing'],
    [['features', 'create', './nowhere'], 'cannot be read'],
    [['logs'], 'The id of the job is missing'],
    [['logs', 'x/../y'], 'is no job id'],
    [['verify', 'm@'], 'ends with @'],
    [['verify', './nowhere'], "no bundle './nowhere'"],
    [['export', 'm'], '--out is missing'],
    [['upload', 'm', 'x'], 'Say which version'],
    [['upload', 'm@v1'], 'The file is missing'],
    [['upload', 'm@v1', './nowhere'], 'There is no file'],
    [['predict', 'm'], '--features is missing'],
    [['predict', 'm', '--features', '{x'], 'is not JSON'],
    [['predict', 'm', '--features', '[1]'], 'must be an object'],
    [['predict', 'm', '--features', '@/nowhere'], 'cannot be read'],
    [['train', '--epochs', 'many'], "at least 1, not 'many'"],
    [['train', '--quick', '--full'], 'exclude each other'],
    [['train', '--pool', 'tpu'], 'cpu, gpu, torch, analysis'],
    [['train', '--quantize', 'int4'], "not 'int4'"],
    [['train', '--agreement-min', '0.9'], 'are for --quantize'],
    [['train', '--quantize', 'float16', '--agreement-min', '2'], 'a share from 0 to 1'],
    [['dlq', 'show', 'x'], 'whole number'],
    [['batch', 'create', 'm'], 'The input is missing'],
    [['batch', 'create', 'm', 'in/', '--format', 'xls'], 'takes csv, jsonl, npy, parquet'],
    [['batch', 'show', '../x'], 'is no id'],
    [['models', 'stage', 'm@v1', 'best'], 'is not a stage'],
    [['webhooks', 'create', 'https://example.com'], 'The types are missing'],
    [['webhooks', 'test', '../x'], 'is no id'],
    [['keys', 'steal'], 'is not list, create or revoke'],
    [['status', '--url', 'nonsense'], '--url takes an origin'],
  ])('%j is refused with what to write instead', async (args, message) => {
    const { code, err, out } = await millrace(args);
    expect(code).toBe(64);
    expect(err).toContain(message);
    expect(out).toBe('');
  });

  test('a platform that does not answer is exit code 69 and names the fix', async () => {
    const { code, err } = await millrace(['status', '--url', NOWHERE]);
    expect(code).toBe(69);
    expect(err).toContain('npm run up');
  });
});

describe('finding the platform', () => {
  test('upward from the working folder, by MILLRACE_HOME, by MILLRACE_URL; its key goes nowhere else', () => {
    const root = mkdtempSync(join(tmpdir(), 'millrace-cli-home-'));
    const home = join(root, '.millrace');
    mkdirSync(join(root, 'deep', 'er'), { recursive: true });
    mkdirSync(home);
    const file = { gateway: 'http://127.0.0.1:1234', token: 'secret', database: 'd', nats: 'n', s3: {} };
    writeFileSync(join(home, 'connection.json'), JSON.stringify(file));
    const cwd = join(root, 'deep', 'er');
    expect(findConnection({ env: {}, cwd })).toMatchObject({ url: file.gateway, token: 'secret', home });
    expect(findConnection({ env: { MILLRACE_HOME: home }, cwd: '/' })).toMatchObject({
      url: file.gateway,
      token: 'secret',
    });
    expect(findConnection({ env: { MILLRACE_URL: 'https://far' }, cwd })).toMatchObject({
      url: 'https://far',
      token: undefined,
    });
    expect(findConnection({ url: 'https://far', token: 'other', env: {}, cwd })).toMatchObject({
      token: 'other',
    });
    expect(findConnection({ url: file.gateway, env: {}, cwd })).toMatchObject({ token: 'secret' });
    rmSync(root, { recursive: true });
  });
});

test('tables and figures for people', () => {
  expect(
    table(
      ['name', 'n'],
      [
        ['a\u001b[31m', 5],
        ['bb', 10],
      ],
    ),
  ).toBe('NAME     N\na?[31m   5\nbb      10');
  expect([bytes(0), bytes(1023), bytes(1536), bytes(3 * 1024 ** 3)]).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '3.0 GiB',
  ]);
  expect([duration(900), duration(72_000), duration(3_720_000)]).toEqual([
    '0.9 s',
    '1 min 12 s',
    '1 h 2 min',
  ]);
});
