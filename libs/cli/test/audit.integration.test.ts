import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chainHash, generateKeyPair } from '@millrace/integrity';
import type { Client } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import pg from 'pg';
import type { Platform } from './fixtures.ts';
import { millrace, startPlatform } from './fixtures.ts';

const MODEL = readFileSync(
  new URL('../../onnx/test/fixtures/generated/logistic_regression.onnx', import.meta.url),
);
type Row = { model_id: string; seq: number; entry: Record<string, unknown>; prev_hash: string; hash: string };

let platform: Platform;
let client: Client;
let env: NodeJS.ProcessEnv;
let url: string;
let digest: string;
const keys: Record<string, string> = {};

beforeAll(async () => {
  platform = await startPlatform();
  env = { MILLRACE_HOME: platform.home };
  const { gateway, token } = JSON.parse(readFileSync(join(platform.home, 'connection.json'), 'utf8')) as {
    gateway: string;
    token: string;
  };
  url = gateway;
  client = createClient({ url, token });
  for (const principal of ['bob', 'carol'])
    keys[principal] = (
      await client.keys.create({ principal, scopes: ['models:read', 'models:approve'] })
    ).key;
  for (const modelId of ['iris', 'spare'])
    await client.models.upload({ modelId, version: 'v1', framework: 'onnx', file: new Blob([MODEL]) });
  await client.governance.setPolicy('iris', { approvalsRequired: { production: 2 } });
  digest = (await client.models.version('iris', 'v1')).packageDigest;
}, 90_000);
afterAll(async () => await platform?.stop());

const file = (name: string): string => join(platform.home, name);
const run = (args: string[]) => millrace(args, { env });
const approve = (who: string) =>
  millrace(['approvals', 'give', 'iris@v1', '--comment', 'looks right', '--token', keys[who] as string], {
    env,
  });

describe('approvals', () => {
  test('approved answers no, then yes once enough people approved, and the signature is checked', async () => {
    const ask = ['approved', digest, '--model', 'iris'];
    expect(await run(ask)).toMatchObject({
      code: 1,
      out: expect.stringMatching(/^NOT approved for production/),
    });
    expect((await approve('bob')).out).toMatch(/2 required, 1 missing[\s\S]*bob .* yes .*looks right/);
    expect((await run(ask)).code).toBe(1);
    await approve('carol');
    const yes = await run([...ask, '--save', file('answer.json')]);
    expect(yes).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^approved for production.*signed by key/),
    });
    expect(yes.out).toMatch(/iris +v1 +yes +\S+Z +bob, carol +2 by model/);
    // of all models that have the bytes, one has no approval
    expect((await run(['approved', digest])).out).toMatch(/^NOT approved[\s\S]*spare +v1 +no/);
    expect((await run(['approved', digest, '--stage', 'staging', '--model', 'iris'])).code).toBe(1);
    expect((await run(['approved', 'f'.repeat(64)])).out).toMatch(/No model has this digest/);
  });

  test('a kept answer is checked without the platform, and holds for its digest, stage and signer only', async () => {
    const offline = (more: string[] = []) => [
      ...['approved', digest, '--file', file('answer.json'), '--url', 'http://127.0.0.1:9'],
      ...(more.length > 0 ? more : ['--public-key', file('keys/registry.pub.pem')]),
    ];
    expect((await run(offline())).code).toBe(0);
    writeFileSync(file('other.pem'), generateKeyPair().publicKeyPem);
    expect((await run(offline(['--public-key', file('other.pem')]))).err).toMatch(/signature_key_unknown/);
    const foreign = offline().map((arg) => (arg === digest ? 'a'.repeat(64) : arg));
    expect((await run(foreign)).err).toMatch(/manifest_mismatch/);
    expect(await run([...offline(), '--stage', 'staging'])).toMatchObject({ code: 64 });
    const bundle = JSON.parse(readFileSync(file('answer.json'), 'utf8')) as {
      dsseEnvelope: { payload: string };
    };
    const payload = Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString().replace('"bob"', '"eve"');
    bundle.dsseEnvelope.payload = Buffer.from(payload).toString('base64');
    writeFileSync(file('forged.json'), JSON.stringify(bundle));
    const forged = offline().map((arg) => (arg === file('answer.json') ? file('forged.json') : arg));
    expect(await run(forged)).toMatchObject({ code: 1, err: expect.stringMatching(/signature_invalid/) });
  });

  test('revoking makes it no again', async () => {
    const revoke = ['approvals', 'revoke', 'iris@v1', '--token', keys.carol as string];
    expect((await run(revoke)).out).toMatch(/2 required, 1 missing/);
    expect((await run(['approved', digest, '--model', 'iris'])).code).toBe(1);
  });
});

describe('audit', () => {
  let rows: Row[];
  let pool: pg.Pool;

  /** Puts rows in place of a model's history, past the trigger, as only the owner of the database can. */
  async function replace(put: readonly Row[]): Promise<void> {
    const [first] = rows;
    const connection = await pool.connect();
    try {
      await connection.query('begin');
      await connection.query('alter table registry.change_log disable trigger user');
      await connection.query('delete from registry.change_log where model_id = $1', [first?.model_id]);
      for (const row of put)
        await connection.query(
          'insert into registry.change_log (model_id, seq, at, entry, prev_hash, hash) values ($1, $2, $3, $4, $5, $6)',
          [row.model_id, row.seq, row.entry.at, row.entry, row.prev_hash, row.hash],
        );
      await connection.query('alter table registry.change_log enable trigger user');
      await connection.query('commit');
    } finally {
      connection.release();
    }
  }

  /** A history that fits together from its start, whatever its entries say. */
  function rehashed(entries: readonly Record<string, unknown>[]): Row[] {
    let prev = '0'.repeat(64);
    return entries.map((entry, i) => {
      const hash = chainHash(prev, entry);
      const row = { model_id: rows[0]?.model_id as string, seq: i + 1, entry, prev_hash: prev, hash };
      prev = hash;
      return row;
    });
  }

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: platform.database });
    const { rows: found } = await pool.query<Row>(
      "select l.* from registry.change_log l join registry.models m on m.id = l.model_id where m.name = 'iris' order by seq",
    );
    rows = found;
    expect(rows.length).toBeGreaterThanOrEqual(5);
  });
  afterAll(() => pool?.end());

  test('all histories are verified against signed heads, and offline from an export', async () => {
    const all = await run(['audit', 'verify', '--heads', file('heads.json')]);
    expect(all).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^verified[\s\S]*iris +5[\s\S]*spare +1 /),
    });
    expect((await run(['audit', 'export', '--out', file('log')])).out).toMatch(/2 histories, 6 rows/);
    expect((await run(['audit', 'export', '--out', file('log')])).code).toBe(64);
    const offline = ['audit', 'verify', '--file', file('log'), '--url', 'http://127.0.0.1:9'];
    const trust = ['--public-key', file('keys/registry.pub.pem')];
    expect(await run([...offline, ...trust])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/iris +5/),
    });
    expect((await run([...offline, '--public-key', file('other.pem')])).out).toMatch(/signature_key_unknown/);
    const lines = readFileSync(file('log'), 'utf8').trimEnd().split('\n');
    writeFileSync(file('cut'), lines.slice(0, -1).join('\n'));
    const cut = offline.map((arg) => (arg === file('log') ? file('cut') : arg));
    expect((await run([...cut, ...trust])).out).toMatch(/ends without its signed head/);
    writeFileSync(file('edited'), lines.map((line) => line.replace('looks right', 'looks fine')).join('\n'));
    const edited = offline.map((arg) => (arg === file('log') ? file('edited') : arg));
    expect(await run([...edited, ...trust])).toMatchObject({
      code: 1,
      out: expect.stringMatching(/NOT verified: log_chain_broken\n.*iris is broken at row 3/),
    });
    expect((await run(['audit', 'verify', '--file', file('heads.json'), ...trust])).code).toBe(64);
  });

  const entry = (i: number): Record<string, unknown> => (rows[i] as Row).entry;
  const evil: [string, () => Row[], RegExp][] = [
    [
      'an edited row',
      () => rows.map((row, i) => (i === 2 ? { ...row, entry: { ...row.entry, by: 'eve' } } : row)),
      /broken at row 3/,
    ],
    ['a removed row', () => rows.filter((_, i) => i !== 2), /has row 4 where row 3 belongs/],
    [
      'two rows swapped',
      () => rows.map((row, i) => (i === 1 || i === 2 ? { ...(rows[3 - i] as Row), seq: row.seq } : row)),
      /has row 3 where row 2 belongs/,
    ],
  ];
  test.each(evil)('%s is found', async (_what, make, message) => {
    await replace(make());
    try {
      const { code, out } = await run(['audit', 'verify', 'iris']);
      expect(out).toMatch(message);
      expect(code).toBe(1);
      // the other history is still sound
      expect((await run(['audit', 'verify', 'spare'])).code).toBe(0);
    } finally {
      await replace(rows);
    }
  });

  const rewritten: [string, () => Row[]][] = [
    ['a removed tail', () => rows.slice(0, -1)],
    [
      'a history that was written anew from the start',
      () => rehashed(rows.map((_, i) => (i === 2 ? { ...entry(i), by: 'eve' } : entry(i)))),
    ],
  ];
  test.each(rewritten)('%s fits together, and shows to who kept a head', async (_what, make) => {
    await replace(make());
    try {
      expect((await run(['audit', 'verify', 'iris'])).code).toBe(0);
      const head = (rows.at(-1) as Row).hash;
      const given = await run(['audit', 'verify', 'iris', '--head', head]);
      expect(given).toMatchObject({
        code: 1,
        out: expect.stringMatching(/no row with the hash .* which was kept/),
      });
      const heads = readFileSync(file('heads.json'), 'utf8');
      expect((await run(['audit', 'verify', '--heads', file('heads.json')])).code).toBe(1);
      // what was kept is not overwritten by what does not fit it
      expect(readFileSync(file('heads.json'), 'utf8')).toBe(heads);
    } finally {
      await replace(rows);
    }
    expect((await run(['audit', 'verify', '--heads', file('heads.json')])).code).toBe(0);
  });
});
