import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { eventPage } from '../../src/events/event-page.ts';
import { batch, prediction } from '../support/batches.ts';
import type { TestMonitoring } from '../support/start-monitoring.ts';
import { startMonitoring } from '../support/start-monitoring.ts';

const DAY_MS = 86_400_000;
const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS / 2;
const modelVersionId = newId();
let monitoring: TestMonitoring;
/** Ids as they are to come: newest first, those of one moment by their id. */
let inOrder: string[];

beforeAll(async () => {
  monitoring = await startMonitoring();
  // five days, many predictions in the same microsecond, and moments that differ by less than a millisecond
  const made = Array.from({ length: 500 }, (_, index) => {
    const at = new Date(NOON - (index % 5) * DAY_MS - Math.floor(index / 50) * 1_000).toISOString();
    const micros = String(index % 3).padStart(3, '0');
    const userId = index % 2 === 0 ? 'even' : 'odd';
    return prediction({ time: at.replace('Z', `${micros}Z`), userId });
  });
  await monitoring.store(batch('paged', made, { modelVersionId }));
  inOrder = made
    .toSorted((a, b) => {
      if (a.time !== b.time) return a.time < b.time ? 1 : -1;
      return a.inferenceId < b.inferenceId ? 1 : -1;
    })
    .map(({ inferenceId }) => inferenceId);
});
afterAll(() => monitoring.stop());

type Page = {
  items: { id: string; userId: string; stage: string; outcome: unknown }[];
  nextCursor: string | null;
};
const page = (query: string, cursor: string | null = null) =>
  monitoring.get<Page>(`/v1/monitoring/events?${query}${cursor === null ? '' : `&cursor=${cursor}`}`);

async function walk(query: string, between: () => Promise<void> = async () => undefined): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const found: Page = await page(query, cursor);
    ids.push(...found.items.map(({ id }) => id));
    cursor = found.nextCursor;
    await between();
  } while (cursor !== null);
  return ids;
}

test('pages give every prediction once, in order, also while others come', async () => {
  let added = 0;
  const ids = await walk('modelId=paged&limit=37', async () => {
    added += 1;
    const time = new Date(NOON + added).toISOString();
    await monitoring.store(batch('paged', [prediction({ time })], { modelVersionId }));
  });
  expect(ids).toEqual(inOrder);
  expect(added).toBeGreaterThan(10);
});

test('pages keep to their filter', async () => {
  const [start, end] = [NOON - 3 * DAY_MS, NOON - DAY_MS];
  const ids = await walk(`modelId=paged&version=v1&userId=odd&startTime=${start}&endTime=${end}&limit=20`);
  expect(ids.length).toBeGreaterThan(50);
  const { items } = await page(`modelId=paged&userId=odd&startTime=${start}&endTime=${end}&limit=500`);
  expect(items.map(({ id }) => id)).toEqual(ids);
  expect(items[0]).toMatchObject({ userId: 'odd', stage: 'unknown', outcome: null, sessionId: null });
  expect((await page('modelId=paged&version=v2')).items).toEqual([]);
});

test.each(['nonsense', 'W10', Buffer.from('["2026-02-31T00:00:00.000000Z","x"]').toString('base64url')])(
  'refuses the cursor %s',
  async (cursor) => {
    const { status, body } = await monitoring.call('GET', `/v1/monitoring/events?cursor=${cursor}`);
    expect({ status, body }).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  },
);

test('a day that does not exist in a cursor is refused, not asked of the database', async () => {
  const cursor = Buffer.from(JSON.stringify(['2026-02-31T00:00:00.000000Z', newId()])).toString('base64url');
  expect((await monitoring.call('GET', `/v1/monitoring/events?cursor=${cursor}`)).status).toBe(400);
});

/** Partitions whose rows or index a statement looks at. */
async function daysRead(
  filter: Parameters<typeof eventPage>[0],
  after?: [string, string],
): Promise<string[]> {
  const { text, values } = eventPage(filter, 50, after);
  const plan = await monitoring.rows<{ 'QUERY PLAN': string }>(
    `explain (analyze, timing off) ${text}`,
    values,
  );
  const lines = plan.map((row) => row['QUERY PLAN']).filter((line) => !line.includes('(never executed)'));
  return [...new Set(lines.flatMap((line) => line.match(/predictions_p\d{8}/g) ?? []))].sort();
}
const partitionOf = (at: number): string =>
  `predictions_p${new Date(at).toISOString().slice(0, 10).replaceAll('-', '')}`;

test('a page reads only the days it can have rows of', async () => {
  await monitoring.rows('analyze monitoring.predictions');
  const filter = { tenant: 'default', modelId: 'paged' };
  const day = NOON - 3 * DAY_MS;
  expect(await daysRead({ ...filter, startTime: day - 3_600_000, endTime: day + 1 })).toEqual([
    partitionOf(day),
  ]);
  // the rows behind a place: later days are left out by it, earlier ones are not reached
  const behind = await daysRead(filter, [new Date(day).toISOString(), newId()]);
  expect(behind).toEqual([partitionOf(day)]);
});
