import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import { runCli } from '../../libs/cli/src/run.ts';
import { startDatasets } from '../../services/datasets/test/support/start-datasets.ts';

let service: Awaited<ReturnType<typeof startDatasets>>;
let client: Client;
let folder: string;

beforeAll(async () => {
  service = await startDatasets();
  client = createClient({ url: service.origin });
  folder = mkdtempSync(join(tmpdir(), 'millrace-features-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await service.stop();
});

const entity = { name: 'customer', keyType: 'int' } as const;
const features = [{ name: 'total', type: 'float' as const }];
const AT = '2026-11-20T00:00:00.000Z';

test('the client of TypeScript makes, writes, reads and joins, and loses no change of others', async () => {
  const view = await client.features.createView({ name: 'sdk', entity, features });
  expect(await client.features.createView({ name: 'sdk', entity, features })).toEqual(view);
  const changed = await client.features.updateView('sdk', { owner: 'me' }, view);
  expect(changed).toMatchObject({ revision: 2, owner: 'me' });
  await expect(client.features.updateView('sdk', { owner: 'you' }, view)).rejects.toMatchObject({
    code: 'precondition_failed',
  });
  expect((await client.features.views({ entity: 'customer' })).items).toEqual([changed]);
  const rows = [{ entity: 7, eventTime: AT, values: { total: 1.5 } }];
  expect(await client.features.put('sdk', rows, { createdTimes: 'event' })).toEqual({
    rows: 1,
    added: 1,
    newest: 1,
  });
  expect(await client.features.get('sdk', 7)).toMatchObject({ eventTime: AT, values: { total: 1.5 } });
  expect((await client.features.getMany('sdk', [8, 7])).map(({ reason }) => reason)).toEqual([
    'missing',
    null,
  ]);
  const request = {
    views: [{ view: 'sdk' }],
    rows: [{ time: '2026-11-21T00:00:00Z', keys: { customer: 7 }, labels: { bought: true } }],
  };
  expect(await client.features.trainingRows(request)).toBe(
    'time,customer,bought,sdk.total\r\n2026-11-21T00:00:00Z,7,true,1.5\r\n',
  );
  await client.datasets.create({ name: 'made' });
  expect(await client.features.trainingSet({ ...request, into: 'made' })).toMatchObject({ state: 'ready' });
  await client.features.forget('sdk', 7);
  expect((await client.features.get('sdk', 7)).reason).toBe('missing');
  await client.features.deleteView('sdk', changed);
  await expect(client.features.view('sdk')).rejects.toMatchObject({ code: 'feature_view_not_found' });
});

test('the command line does the same', async () => {
  const millrace = async (...args: string[]) => {
    let out = '';
    const write = (text: string): void => {
      out += text;
    };
    const code = await runCli(['features', ...args, '--url', service.origin], {
      env: {},
      cwd: folder,
      isTerminal: false,
      signal: AbortSignal.timeout(30_000),
      readInput: async () => JSON.stringify({ name: 'cli', entity, features, ttlSeconds: null }),
      write,
      writeError: write,
    });
    return { code, out };
  };
  const file = (name: string, ...lines: object[]): string => {
    writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return name;
  };
  expect(await millrace('create', '-')).toMatchObject({
    code: 0,
    out: expect.stringMatching(/total\s+float/),
  });
  expect((await millrace()).out).toMatch(/cli\s+customer\s+1\s+for ever/);
  const rows = [1, 2].map((key) => ({ entity: key, eventTime: AT, values: { total: key / 2 } }));
  expect((await millrace('put', 'cli', file('rows.jsonl', ...rows), '--backfill')).out).toContain(
    '2 were new',
  );
  expect((await millrace('get', 'cli', '2', '9')).out).toMatch(
    /2\s+2026-11-20T\S+\s+1\s[\s\S]*9\s+missing\s+-/,
  );
  const request = { views: [{ view: 'cli' }], rows: [{ time: AT, keys: { customer: 1 } }] };
  const joined = await millrace('training-set', file('request.json', request));
  expect(joined.out).toContain(`${AT},1,0.5`);
  await client.datasets.create({ name: 'of-cli' });
  expect((await millrace('training-set', 'request.json', '--into', 'of-cli')).out).toMatch(/version\s+1 /);
  expect((await millrace('show', 'cli')).out).toContain('customer (int)');
  expect(
    await millrace('put', 'cli', file('bad.jsonl', { entity: 1, eventTime: AT, values: { total: 'x' } })),
  ).toMatchObject({ code: 1, out: expect.stringContaining('invalid_feature_row') });
  expect((await millrace('delete', 'cli')).code).toBe(0);
  expect((await millrace('show', 'cli')).out).toContain('feature_view_not_found');
});
