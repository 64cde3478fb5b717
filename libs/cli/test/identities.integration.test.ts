import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Platform } from './fixtures.ts';
import { millrace, startPlatform } from './fixtures.ts';

let platform: Platform;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  platform = await startPlatform();
  env = { MILLRACE_HOME: platform.home };
}, 90_000);
afterAll(async () => await platform?.stop());

const run = (...args: string[]) => millrace(args, { env });

describe('tenants and principals', () => {
  test('are made, bounded, shown, disabled and enabled', async () => {
    expect((await run('tenants', 'create', 'acme', '--note', 'a customer', '--models', '1')).code).toBe(0);
    expect((await run('tenants')).out).toMatch(/acme\s+in use\s+models 1\s+a customer/);
    expect((await run('tenants', 'quotas', 'acme', '--open-jobs', '3')).out).toMatch(/models 1, openJobs 3/);
    expect((await run('tenants', 'quotas', 'acme', '--open-jobs', 'none')).out).toMatch(/bounds: models 1\n/);
    expect((await run('tenants', 'show', 'acme', '--json')).json()).toMatchObject({ limits: { models: 1 } });
    expect((await run('tenants', 'quotas', 'acme', '--models', 'many')).code).toBe(64);
    expect(await run('tenants', 'create', 'acme')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^millrace: tenant_exists/),
    });

    const made = await run('principals', 'create', 'ann', '--tenant', 'acme', '--roles', 'trainer');
    expect(made).toMatchObject({ code: 0, out: 'ann of acme is in use; roles: trainer\n' });
    expect((await run('principals', 'roles', 'ann', 'trainer,approver')).out).toMatch(
      /roles: trainer approver/,
    );
    expect((await run('principals')).out).toMatch(/ann\s+acme\s+trainer approver\s+in use/);
    expect((await run('principals', 'disable', 'ann')).out).toMatch(/is disabled/);
    expect((await run('principals', 'enable', 'ann', '--json')).json()).toMatchObject({ disabledAt: null });
    expect((await run('principals', 'create', 'bob')).code).toBe(64);
    expect((await run('principals', 'create', 'bob', '--roles', 'king')).code).toBe(1);
  });

  test('usage shows what there is beside the bound, and who does not answer', async () => {
    const { code, out } = await run('tenants', 'usage', 'acme');
    expect(code).toBe(0);
    expect(out).toMatch(/models\s+0\s+1/);
    expect(out).toMatch(/not answering: .*training-orchestrator/);
    const key = await run('keys', 'create', 'ann', '--tenant', 'acme', '--scopes', 'models:write', '--json');
    expect(key.json()).toMatchObject({ tenant: 'acme', scopes: ['models:write'] });
  });
});

describe('who did what', () => {
  test('is verified here, exported, and verified again without the platform', async () => {
    const verified = (await run('audit', 'access', 'verify', '--json')).json() as {
      head: string;
      rows: number;
    };
    expect(verified).toMatchObject({ verified: true, from: 1 });
    expect(verified.rows).toBeGreaterThan(5);
    const file = join(platform.home, 'access.jsonl');
    expect((await run('audit', 'access', 'export', '--out', file)).code).toBe(0);
    const offline = await millrace(['audit', 'access', 'verify', '--file', file, '--head', verified.head], {
      env,
    });
    expect(offline).toMatchObject({ code: 0, out: expect.stringMatching(/^verified: \d+ rows from 1 on/) });

    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const damaged: [string, string[]][] = [
      [
        'edited',
        lines.map((line, at) => (at === 3 ? line.replace('"principal":"admin"', '"principal":"eve"') : line)),
      ],
      ['removed', lines.filter((_, at) => at !== 3)],
      ['moved', lines.map((line, at) => (at === 3 ? lines[4] : at === 4 ? lines[3] : line) as string)],
    ];
    for (const [what, rows] of damaged) {
      const path = join(platform.home, `${what}.jsonl`);
      writeFileSync(path, `${rows.join('\n')}\n`);
      const { code, out } = await run('audit', 'access', 'verify', '--file', path);
      expect([what, code]).toEqual([what, 1]);
      expect(out).toMatch(/NOT verified: log_chain_broken/);
    }
    const lost = await run('audit', 'access', 'verify', '--file', file, '--head', 'f'.repeat(64));
    expect(lost).toMatchObject({ code: 1, out: expect.stringMatching(/the head that was kept/) });
  });

  test('a row that somebody changed in the database is found', async () => {
    const client = new pg.Client({ connectionString: platform.database });
    await client.connect();
    await client.query('alter table gateway.audit_log disable trigger user');
    await client.query(
      `update gateway.audit_log set principal = 'nobody' where tenant = 'default' and seq = 2`,
    );
    await client.end();
    const { code, out } = await run('audit', 'access', 'verify');
    expect(code).toBe(1);
    expect(out).toMatch(/Row 2 of the access log was changed/);
  });
});
