import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOutbox } from '@millrace/bus';
import { newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import type { TestDatabase } from '@millrace/testing';
import { createTestDatabase } from '@millrace/testing';
import fc from 'fast-check';
import type { ChangeEntry, NewChange } from '../../src/history/change-log.table.ts';
import { createChangeLog } from '../../src/history/change-log.ts';
import { createStateRepository } from '../../src/history/state.repository.ts';
import { stateOf } from '../../src/history/state.ts';
import * as schema from '../../src/schema.ts';

let server: TestDatabase;
let database: Database;
const changeLog = createChangeLog(schema, createOutbox(schema.busTables, 'registry'));
const states = createStateRepository(schema);

beforeAll(async () => {
  server = await createTestDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: server.url, schema: 'registry', folder });
  database = createDatabase({ url: server.url, applicationName: 'test' });
});
afterAll(async () => {
  await database?.close();
  await server?.drop();
});

const VERSIONS = [newId(), newId(), newId()];
const DIGESTS = ['aa'.repeat(32), 'bb'.repeat(32)];
const version = fc.integer({ min: 0, max: VERSIONS.length - 1 }).map((i) => ({
  modelVersionId: VERSIONS[i] as string,
  version: `v${i + 1}`,
}));
const stage = fc.constantFrom('development', 'staging', 'production', 'archived');
const digest = fc.constantFrom(...DIGESTS);
const by = fc.constantFrom('alice', 'bob');
const change: fc.Arbitrary<NewChange> = fc.oneof(
  fc
    .record({ action: fc.constant('registered' as const), stage, by })
    .chain((one) => version.map((v) => ({ ...one, ...v }))),
  fc
    .record({ action: fc.constant('stage-changed' as const), to: stage, by })
    .chain((one) => version.map((v) => ({ ...one, ...v }))),
  fc
    .record({ action: fc.constantFrom('version-deleted' as const, 'withdrawn' as const), by })
    .chain((one) => version.map((v) => ({ ...one, ...v }))),
  fc
    .record({
      action: fc.constantFrom('alias-set' as const, 'alias-removed' as const),
      alias: fc.constantFrom('a', 'b c'),
      by,
    })
    .chain((one) => version.map((v) => ({ ...one, ...v }))),
  fc.record({
    action: fc.constantFrom('approved' as const, 'approval-revoked' as const),
    packageDigest: digest,
    stage: fc.constantFrom('staging', 'production'),
    principal: fc.constantFrom('carol', 'd d'),
    by,
    comment: fc.constant(''),
  }),
  fc.record({
    action: fc.constantFrom('digest-allowed' as const, 'digest-disallowed' as const),
    stage: fc.constantFrom('staging', 'production'),
    digest,
    by,
  }),
  fc.record({
    action: fc.constant('policy-set' as const),
    by,
    policy: fc.record({ approvalsRequired: fc.record({ production: fc.integer({ min: 0, max: 3 }) }) }),
  }),
  fc.record({
    action: fc.constantFrom(
      'policy-removed' as const,
      'model-deleted' as const,
      'rollout-deleted' as const,
      'model-updated' as const,
    ),
    by,
  }),
  fc.record({
    action: fc.constantFrom('rollout-set' as const, 'rollout-rolled-back' as const),
    by,
    spec: fc.record({ weights: fc.constant([]) }),
  }),
);

/** What a reader of the whole log would say, one row after the other; written apart from the index on purpose. */
function replay(entries: readonly ChangeEntry[]) {
  const stages = new Map<string, string>();
  const aliases = new Map<string, string>();
  const approvals = new Set<string>();
  const allowed = new Set<string>();
  let production = 0;
  let hasRollout = false;
  for (const entry of entries) {
    const id = String(entry.modelVersionId);
    if (entry.action === 'registered') stages.set(id, String(entry.stage));
    if (entry.action === 'stage-changed') stages.set(id, String(entry.to));
    if (entry.action === 'version-deleted' || entry.action === 'withdrawn') stages.delete(id);
    if (entry.action === 'alias-set') aliases.set(String(entry.alias), id);
    if (entry.action === 'alias-removed') aliases.delete(String(entry.alias));
    const approval = `${entry.packageDigest}|${entry.stage}|${entry.principal}`;
    if (entry.action === 'approved') approvals.add(approval);
    if (entry.action === 'approval-revoked') approvals.delete(approval);
    const listed = `${entry.stage}|${entry.digest}`;
    if (entry.action === 'digest-allowed') allowed.add(listed);
    if (entry.action === 'digest-disallowed') allowed.delete(listed);
    if (entry.action === 'policy-set')
      production = (entry.policy as { approvalsRequired: { production: number } }).approvalsRequired
        .production;
    if (entry.action === 'policy-removed' || entry.action === 'model-deleted') production = 0;
    if (entry.action === 'rollout-set' || entry.action === 'rollout-rolled-back') hasRollout = true;
    if (entry.action === 'rollout-deleted') hasRollout = false;
  }
  return {
    stages: Object.fromEntries(stages),
    aliases: Object.fromEntries(aliases),
    approvals: [...approvals].sort(),
    allowed: [...allowed].sort(),
    production,
    hasRollout,
  };
}

test('the state at any time is what a replay of the log up to then gives', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 30 }), async (changes) => {
      const chainId = newId();
      for (const one of changes)
        await database.transaction((tx) => changeLog.append(tx, chainId, { ...one, model: 'm' }));
      const rows = await changeLog.after(database.db, chainId, 0, 100);
      const times = new Set(rows.flatMap(({ at }) => [at.getTime() - 1, at.getTime()]));
      for (const time of times) {
        const at = new Date(time);
        const entries = rows.filter((row) => row.at.getTime() <= time).map(({ entry }) => entry);
        const kinds = ['stage', 'alias', 'approval', 'allowed', 'policy', 'rollout'] as const;
        const state = stateOf(await states.factsAt(database.db, chainId, at, { kinds, limit: 1_000 }), []);
        expect({
          stages: Object.fromEntries(state.versions.map((one) => [one.modelVersionId, one.stage])),
          aliases: Object.fromEntries(state.aliases.map((one) => [one.alias, one.modelVersionId])),
          approvals: state.approvals
            .map((one) => `${one.packageDigest}|${one.stage}|${one.principal}`)
            .sort(),
          allowed: state.allowed.map((one) => `${one.stage}|${one.digest}`).sort(),
          production: state.policy.policy.approvalsRequired.production,
          hasRollout: state.rollout !== null,
        }).toEqual(replay(entries));
        expect((await states.headAt(database.db, chainId, at))?.hash).toBe(rows[entries.length - 1]?.hash);
      }
    }),
    { numRuns: 12 },
  );
}, 60_000);

test('what was in production in the whole tenant, in pages, with who had approved it', async () => {
  const [first, second] = ['first', 'second'];
  const tenant = newId();
  const models = [newId(), newId()].sort();
  const tell = (i: number, entry: NewChange) =>
    database.transaction((tx) =>
      changeLog.append(tx, models[i] as string, { model: i === 0 ? first : second, ...entry }),
    );
  const now = () => new Date();
  const pause = () => new Promise((resolve) => setTimeout(resolve, 3));
  for (const [i, id] of models.entries())
    await database.db.insert(schema.models).values({ id, tenant, name: i === 0 ? first : second });
  const [v1, v2] = [newId(), newId()];
  const of = (id: string) => ({ modelVersionId: id, version: 'v1', packageDigest: DIGESTS[0] as string });
  await tell(0, { action: 'registered', by: 'alice', stage: 'development', ...of(v1) });
  await pause();
  const before = now();
  await pause();
  await tell(0, {
    action: 'stage-changed',
    by: 'alice',
    from: 'development',
    to: 'production',
    approvedBy: ['bob'],
    ...of(v1),
  });
  await tell(1, { action: 'registered', by: 'alice', stage: 'production', ...of(v2) });
  await pause();
  const both = now();
  await pause();
  await tell(0, { action: 'stage-changed', by: 'alice', from: 'production', to: 'archived', ...of(v1) });
  await pause();
  const at = (time: Date, after?: { modelId: string; modelVersionId: string }, limit = 10) =>
    states.productionAt(database.db, tenant, time, { limit, after });
  expect(await at(before)).toEqual([]);
  const [one, two] = await at(both);
  expect(one).toMatchObject({
    model: first,
    modelVersionId: v1,
    approvedBy: ['bob'],
    packageDigest: DIGESTS[0],
  });
  expect(two).toMatchObject({
    model: second,
    modelVersionId: v2,
    approvedBy: [],
    entry: { action: 'registered' },
  });
  const [page] = await at(both, undefined, 1);
  expect(page?.model).toBe(first);
  expect(
    (await at(both, { modelId: models[0] as string, modelVersionId: v1 }, 1)).map(({ model }) => model),
  ).toEqual([second]);
  expect((await at(now())).map(({ model }) => model)).toEqual([second]);
  expect(await states.productionAt(database.db, 'nobody', both, { limit: 10, after: undefined })).toEqual([]);
});
