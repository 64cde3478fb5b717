import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { batch, prediction } from './support/batches.ts';
import type { TestMonitoring } from './support/start-monitoring.ts';
import { startMonitoring } from './support/start-monitoring.ts';

const USER = 'anna/ö 1';
const path = `/v1/monitoring/users/${encodeURIComponent(USER)}/data`;
let monitoring: TestMonitoring;
beforeAll(async () => {
  monitoring = await startMonitoring();
});
afterAll(() => monitoring.stop());

type Page<T> = { items: T[]; nextCursor: string | null };
type UserEvent = { id: string; userId: string; feedback: { outcome: unknown; correct: boolean | null }[] };
type Erasure = { id: string; userDigest: string; principal: string; predictions: number; feedback: number };
const countOf = async (model: string) =>
  (await monitoring.get<{ count: number }>(`/monitoring/metrics?modelId=${model}`)).count;

test("a user's data is exported whole, then erased; sums stay and others' data too", async () => {
  const modelVersionId = newId();
  const theirs = Array.from({ length: 30 }, () => prediction({ userId: USER, sessionId: 's' }));
  const others = [prediction({ userId: 'ben' }), prediction()];
  await monitoring.store(batch('served', [...theirs, ...others], { modelVersionId }));
  const [first] = theirs;
  const say = (correct: boolean) =>
    monitoring.call('POST', '/feedback', { inferenceId: first?.inferenceId, outcome: { class: 1 }, correct });
  await say(true);
  await say(false);
  await monitoring.call('POST', '/feedback', { inferenceId: others[0]?.inferenceId, outcome: 1 });

  const exported: UserEvent[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<UserEvent> = await monitoring.get(
      `${path}?limit=7${cursor === null ? '' : `&cursor=${cursor}`}`,
    );
    exported.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  expect(exported.map(({ id }) => id).sort()).toEqual(theirs.map(({ inferenceId }) => inferenceId).sort());
  expect(exported.every(({ userId }) => userId === USER)).toBe(true);
  expect(exported.find(({ id }) => id === first?.inferenceId)?.feedback).toMatchObject([
    { outcome: { class: 1 }, correct: true },
    { outcome: { class: 1 }, correct: false },
  ]);

  const erased = await monitoring.call<Erasure>('DELETE', path);
  expect(erased).toMatchObject({
    status: 200,
    body: { predictions: 30, feedback: 1, principal: 'local', isComplete: true },
  });
  expect(JSON.stringify(erased.body)).not.toContain(USER);
  expect((await monitoring.get<Page<UserEvent>>(path)).items).toEqual([]);
  const left = await monitoring.rows<{ table: string }>(
    `select 'predictions' as table from monitoring.predictions where user_id = $1
     union all select 'feedback' from monitoring.feedback where inference_id = any($2)
     union all select 'history' from monitoring.feedback_history where inference_id = any($2)`,
    [USER, theirs.map(({ inferenceId }) => inferenceId)],
  );
  expect(left).toEqual([]);
  expect(await countOf('served')).toBe(32);
  const { items } = await monitoring.get<Page<{ id: string }>>('/v1/monitoring/events?modelId=served');
  expect(items.map(({ id }) => id).sort()).toEqual(others.map(({ inferenceId }) => inferenceId).sort());
});

test('predictions made before that come later are counted and not stored; later ones are stored', async () => {
  const before = prediction({ userId: USER, time: new Date(Date.now() - 60_000).toISOString() });
  const after = prediction({ userId: USER, time: new Date(Date.now() + 60_000).toISOString() });
  await monitoring.store(batch('late', [before, after, prediction()]));
  expect(await countOf('late')).toBe(3);
  const { items } = await monitoring.get<Page<{ id: string }>>(path);
  expect(items.map(({ id }) => id)).toEqual([after.inferenceId]);
});

test('asked again it removes what came since, and every erasure is kept', async () => {
  expect((await monitoring.call<Erasure>('DELETE', path)).body).toMatchObject({ predictions: 1 });
  expect((await monitoring.call<Erasure>('DELETE', path)).body).toMatchObject({
    predictions: 0,
    feedback: 0,
  });
  const { items, nextCursor } = await monitoring.get<Page<Erasure>>('/v1/monitoring/erasures?limit=2');
  expect(items.map(({ predictions }) => predictions)).toEqual([0, 1]);
  const rest = await monitoring.get<Page<Erasure>>(`/v1/monitoring/erasures?cursor=${nextCursor}`);
  expect(rest.items.map(({ predictions }) => predictions)).toEqual([30]);
  expect(new Set([...items, ...rest.items].map(({ userDigest }) => userDigest)).size).toBe(1);
});

test('none is missed that is stored while an erasure begins', async () => {
  const userId = 'busy';
  const storing = Array.from({ length: 12 }, () =>
    monitoring.store(batch('busy', [prediction({ userId }), prediction({ userId })])),
  );
  const erasing = monitoring.call('DELETE', `/v1/monitoring/users/${userId}/data`);
  const startedAt = Date.now();
  await Promise.all([...storing, erasing]);
  const left = await monitoring.rows<{ at: Date }>(
    'select at from monitoring.predictions where user_id = $1',
    [userId],
  );
  const [erasure] = (await monitoring.get<Page<{ erasedAt: string }>>('/v1/monitoring/erasures')).items;
  expect(left.filter(({ at }) => at.toISOString() <= (erasure?.erasedAt ?? ''))).toEqual([]);
  expect(await countOf('busy')).toBe(24);
  expect(Date.parse(erasure?.erasedAt ?? '')).toBeGreaterThanOrEqual(startedAt - 1_000);
});

test('a name that is none is refused', async () => {
  const { status } = await monitoring.call('DELETE', `/v1/monitoring/users/${'x'.repeat(256)}/data`);
  expect(status).toBe(400);
});
