// Histories of a million entries: how long a look into the past takes, and the check of the chains. `--help` says more.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createOutbox } from '@millrace/bus';
import { newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import { CHAIN_GENESIS, chainHash } from '@millrace/integrity';
import { createTestDatabase, startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { table } from '../../scripts/lib/format.ts';
import type { ChangeEntry, NewChange } from '../../services/registry/src/history/change-log.table.ts';
import { createChangeLog } from '../../services/registry/src/history/change-log.ts';
import type { FactKind } from '../../services/registry/src/history/facts.ts';
import { factsOf } from '../../services/registry/src/history/facts.ts';
import { createStateRepository } from '../../services/registry/src/history/state.repository.ts';
import * as schema from '../../services/registry/src/schema.ts';

const USAGE = `node tests/load/history.ts [--entries N] [--looks N]

Writes N entries (default 1000000), half of them into one model with 200 versions, half into 1000 models with 10 versions
each, with true hashes; then looks at random times of the past and checks the longest chain.`;
const TENANT = 'bench';
const SMALL_MODELS = 1_000;
const BATCH = 5_000;
const KINDS: readonly FactKind[] = ['stage', 'alias', 'approval', 'allowed', 'policy', 'rollout'];
const STAGES = ['development', 'staging', 'production', 'archived'];
const START = Date.parse('2024-01-01T00:00:00Z');

const { values: options } = parseArgs({
  options: {
    entries: { type: 'string', default: '1000000' },
    looks: { type: 'string', default: '300' },
    help: { type: 'boolean', default: false },
  },
});
const entries = Number(options.entries);
const looks = Number(options.looks);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** A model whose history is written. */
type Written = {
  id: string;
  name: string;
  versions: string[];
  seq: number;
  prev: string;
  open: Map<string, OpenFact>;
};
type OpenFact = { row: (string | number | null)[] };

const model = (name: string, versions: number): Written => ({
  id: newId(),
  name,
  versions: Array.from({ length: versions }, newId),
  seq: 0,
  prev: CHAIN_GENESIS,
  open: new Map(),
});

/** The n-th change of a model: each version is registered, then stages, aliases and approvals change. */
function changeOf(target: Written, n: number): NewChange {
  const i = n % target.versions.length;
  const common = {
    by: `user-${n % 7}`,
    model: target.name,
    modelVersionId: target.versions[i] as string,
    version: `v${i + 1}`,
    packageDigest: i.toString(16).padStart(64, '0'),
  };
  if (n < target.versions.length) return { action: 'registered', stage: 'development', ...common };
  const turn = Math.floor(n / target.versions.length);
  if (turn % 3 === 0) return { action: 'alias-set', alias: `alias-${n % 20}`, ...common };
  if (turn % 3 === 1)
    return {
      action: turn % 2 === 0 ? 'approval-revoked' : 'approved',
      stage: 'production',
      principal: `user-${n % 5}`,
      ...common,
    };
  return { action: 'stage-changed', from: '', to: STAGES[(turn + i) % 4] as string, ...common };
}

async function write(database: Database, order: readonly Written[]): Promise<void> {
  let log: unknown[][] = [];
  const facts: OpenFact[] = [];
  const flush = async (): Promise<void> => {
    const column = (i: number): unknown[] => log.map((row) => row[i]);
    await database.pool.query(
      `insert into registry.change_log (model_id, seq, at, entry, prev_hash, hash)
       select * from unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::jsonb[], $5::text[], $6::text[])`,
      [0, 1, 2, 3, 4, 5].map(column),
    );
    log = [];
  };
  for (const [i, target] of order.entries()) {
    const at = new Date(START + i * 60).toISOString();
    const seq = target.seq + 1;
    const entry = { ...changeOf(target, target.seq), seq, at } as ChangeEntry;
    const hash = chainHash(target.prev, entry);
    log.push([target.id, seq, at, JSON.stringify(entry), target.prev, hash]);
    for (const { kind, key, value } of factsOf(entry)) {
      const before = target.open.get(`${kind} ${key}`);
      if (before !== undefined) before.row[6] = at;
      else if (value === null) continue;
      const fact = { row: [target.id, kind, key, value, seq, at, null] };
      target.open.set(`${kind} ${key}`, fact);
      facts.push(fact);
    }
    target.seq = seq;
    target.prev = hash;
    if (log.length === BATCH) await flush();
  }
  await flush();
  for (let i = 0; i < facts.length; i += BATCH) {
    const rows = facts.slice(i, i + BATCH).map(({ row }) => row);
    await database.pool.query(
      `insert into registry.change_facts (model_id, kind, key, value, seq, from_at, to_at)
       select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[], $7::timestamptz[])`,
      [0, 1, 2, 3, 4, 5, 6].map((column) => rows.map((row) => row[column])),
    );
  }
  await database.pool.query('analyze registry.change_log, registry.change_facts, registry.models');
}

/** Milliseconds of each look at a random time, after one that opens the connection; `rows` is the most that one gave. */
async function timed(look: (at: Date) => Promise<readonly unknown[]>) {
  await look(new Date(START));
  const times: number[] = [];
  let rows = 0;
  for (let i = 0; i < looks; i += 1) {
    const at = new Date(START + Math.random() * entries * 60);
    const start = performance.now();
    rows = Math.max(rows, (await look(at)).length);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const quantile = (q: number): string => (times[Math.ceil(times.length * q) - 1] ?? 0).toFixed(1);
  return [quantile(0.5), quantile(0.99), quantile(1), String(rows)];
}

async function measure(url: string): Promise<void> {
  const folder = fileURLToPath(new URL('../../services/registry/migrations', import.meta.url));
  await migrate({ url, schema: 'registry', folder });
  const database = createDatabase({ url, applicationName: 'bench' });
  try {
    const large = model('large', 200);
    const small = Array.from({ length: SMALL_MODELS }, (_, i) => model(`small-${i}`, 10));
    for (const { id, name } of [large, ...small])
      await database.db.insert(schema.models).values({ id, tenant: TENANT, name });
    const start = performance.now();
    await write(
      database,
      Array.from({ length: entries }, (_, i) =>
        i % 2 === 0 ? large : (small[((i - 1) / 2) % SMALL_MODELS] as Written),
      ),
    );
    print(
      `${entries} entries written in ${((performance.now() - start) / 1_000).toFixed(0)} s, ${looks} looks each`,
    );
    const states = createStateRepository(schema);
    const state = (id: string) => (at: Date) =>
      states.factsAt(database.db, id, at, { kinds: KINDS, limit: 10_001 });
    const page = (at: Date) => states.productionAt(database.db, TENANT, at, { limit: 501, after: undefined });
    print(
      table([
        ['look', 'p50 ms', 'p99 ms', 'max ms', 'rows'],
        [`model with ${large.seq} entries`, ...(await timed(state(large.id)))],
        [`model with ${small[0]?.seq} entries`, ...(await timed(state(small[0]?.id as string)))],
        ['all production, first page', ...(await timed(page))],
        [
          'head of the chain at a time',
          ...(await timed(async (at) => [await states.headAt(database.db, large.id, at)])),
        ],
      ]),
    );
    const changeLog = createChangeLog(schema, createOutbox(schema.busTables, 'registry'));
    const checkedAt = performance.now();
    const { length } = await changeLog.verify(database.db, large.id);
    const seconds = (performance.now() - checkedAt) / 1_000;
    print(`chain of ${length} entries checked in ${seconds.toFixed(1)} s`);
  } finally {
    await database.close();
  }
}

if (options.help) print(USAGE);
else {
  const own = process.env[TEST_INFRA_VARIABLE] === undefined ? await startTestInfra() : undefined;
  if (own !== undefined) process.env[TEST_INFRA_VARIABLE] = JSON.stringify(own.infra);
  const server = await createTestDatabase();
  try {
    await measure(server.url);
  } finally {
    await server.drop();
    await own?.stop();
  }
}
