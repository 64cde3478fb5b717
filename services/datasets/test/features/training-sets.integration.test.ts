import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import fc from 'fast-check';
import { instantOf } from '../../src/features/event-time.ts';
import { createFeatureValueRepository } from '../../src/features/feature-value.repository.ts';
import type { Known } from '../../src/features/training-set/join.ts';
import { joinAsOf } from '../../src/features/training-set/join.ts';
import { startDatasets } from '../support/start-datasets.ts';

type Json = Record<string, unknown>;
let service: Awaited<ReturnType<typeof startDatasets>>;

beforeAll(async () => {
  service = await startDatasets();
});
afterAll(() => service.stop());

const request = (path: string, body: unknown, method = 'POST') =>
  fetch(`${service.origin}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
async function json(path: string, body: unknown, method = 'POST') {
  const response = await request(path, body, method);
  return { status: response.status, body: (await response.json()) as Json };
}
const rowsOf = async (body: unknown) => (await request('/v1/features/training-sets/rows', body)).text();

/** A second, in µs; the tests count from 2026. */
const S = 1_000_000;
const START = Date.UTC(2026, 0, 1) * 1_000;
const at = (seconds: number): string => instantOf(START + Math.round(seconds * S));

describe('the join as of a time', () => {
  type Event = { entity: string; event: number; created: number; value: number | null };
  type Question = { entity: string; at: number };

  /** What the join should give, by looking at every event. */
  function bruteForce(
    events: readonly Event[],
    asked: Question,
    ttlSeconds: number | null,
    known: Known,
  ): number | null {
    let best: { event: Event; place: number } | undefined;
    for (const [place, event] of events.entries()) {
      if (event.entity !== asked.entity || event.event > asked.at) continue;
      if (known === 'created' && event.created > asked.at) continue;
      const isLater =
        best === undefined ||
        event.event > best.event.event ||
        (event.event === best.event.event &&
          (event.created > best.event.created ||
            (event.created === best.event.created && place > best.place)));
      if (isLater) best = { event, place };
    }
    if (best === undefined) return null;
    if (ttlSeconds !== null && asked.at - best.event.event > ttlSeconds * S) return null;
    return best.event.value;
  }

  const entity = fc.constantFrom('a', 'b');
  const time = fc.integer({ min: 0, max: 24 }).map((half) => START + half * (S / 2));
  const event = fc.record({
    entity,
    event: time,
    created: time,
    value: fc.option(fc.integer({ min: 0, max: 3 })),
  });

  test('is that of looking at every event, for any order of writes, corrections and TTL', async () => {
    const values = createFeatureValueRepository(service.database.pool);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(event, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.record({ entity, at: time }), { minLength: 1, maxLength: 12 }),
        fc.option(fc.integer({ min: 1, max: 6 })),
        fc.constantFrom<Known>('created', 'event'),
        async (writes, questions, ttlSeconds, known) => {
          const id = newId();
          for (const write of writes)
            await service.database.transaction((tx) =>
              values.write(
                tx,
                id,
                write.map(({ entity: key, event: eventUs, created: createdUs, value }) => ({
                  entity: key,
                  eventUs,
                  createdUs,
                  json: value === null ? '{}' : JSON.stringify({ value }),
                })),
              ),
            );
          const view = { id, name: 'v', entity: 'e', keyType: 'string' as const, ttlSeconds };
          const rows = questions.map(({ entity: key, at: atUs }) => ({
            at: '',
            atUs,
            keys: { e: key },
            carried: [],
          }));
          const joined = await joinAsOf(
            values,
            [{ view, features: [{ name: 'value', type: 'int' }] }],
            rows,
            known,
          );
          const wanted = questions.map((asked) => [bruteForce(writes.flat(), asked, ttlSeconds, known)]);
          expect(joined).toEqual(wanted);
          // what is read online is what a row of the far future would see of all corrections
          const last = { entity: 'a', at: START + 1_000 * S };
          const [newest] = await values.newest(id, ['a']);
          expect(newest?.values.value ?? null).toBe(bruteForce(writes.flat(), last, null, 'event'));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('looks into one partition for each row', async () => {
    const { rows } = await service.database.pool.query<{ 'QUERY PLAN': string }>(
      `explain (analyze, costs off, timing off, summary off) select h.seq from unnest($1::text[]) as q(entity)
       cross join lateral (select seq from datasets.feature_history where view_id = $2 and entity = q.entity
         and event_us <= 5 order by event_us desc, created_us desc, seq desc limit 1) h`,
      [['a'], newId()],
    );
    const plan = rows.map((line) => line['QUERY PLAN']).join('\n');
    expect(plan.match(/never executed/g)?.length).toBe(15);
  });
});

describe('training sets', () => {
  const view = 'spending';
  const label = (customer: string, seconds: number, bought: number) => ({
    time: at(seconds),
    keys: { customer },
    labels: { bought },
  });

  beforeAll(async () => {
    await json('/v1/features/views', {
      name: view,
      entity: { name: 'customer', keyType: 'string' },
      features: [
        { name: 'total', type: 'float' },
        { name: 'tag', type: 'string' },
        { name: 'place', type: 'vector', size: 2 },
      ],
      ttlSeconds: 100,
    });
    const row = (seconds: number, total: number, createdSeconds: number | null) => ({
      entity: 'ann',
      eventTime: at(seconds),
      ...(createdSeconds !== null && { createdTime: at(createdSeconds) }),
      values: { total, tag: '=1+1, "x"', place: [seconds, 0.5] },
    });
    const rows = [row(10, 1, 10), row(20, 2, 20), row(20, 2.5, 60), row(30, 3, null)];
    expect(await json(`/v1/features/${view}`, { rows }, 'PUT')).toMatchObject({ body: { added: 4 } });
  });

  test('a row sees what was known at its time, texts exactly as they are', async () => {
    const rows = [
      label('ann', 5, 0),
      label('ann', 15, 1),
      label('ann', 25, 0),
      label('ann', 70, 1),
      label('bob', 25, 0),
    ];
    expect(await rowsOf({ views: [{ view }], rows })).toBe(
      [
        'time,customer,bought,spending.total,spending.tag,spending.place_0,spending.place_1',
        `${at(5)},ann,0,,,,`,
        `${at(15)},ann,1,1,"=1+1, ""x""",10,0.5`,
        `${at(25)},ann,0,2,"=1+1, ""x""",20,0.5`,
        `${at(70)},ann,1,2.5,"=1+1, ""x""",20,0.5`,
        `${at(25)},bob,0,,,,`,
        '',
      ].join('\r\n'),
    );
    // with corrections and what became known only later; not past the TTL
    const seen = await rowsOf({
      views: [{ view, features: ['total'] }],
      rows: [label('ann', 25, 0), label('ann', 35, 0), label('ann', 130, 0), label('ann', 130.000001, 0)],
      known: 'event',
      format: 'ndjson',
    });
    const lines = seen.trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as Json)['spending.total'])).toEqual([2.5, 3, 3, null]);
  });

  test('rows of the past can be written as known when they happened', async () => {
    const body = { rows: [{ entity: 'eve', eventTime: at(1), values: { total: 7 } }] };
    await json(`/v1/features/${view}`, body, 'PUT');
    const seen = () => rowsOf({ views: [{ view, features: ['total'] }], rows: [label('eve', 2, 0)] });
    expect(await seen()).toContain('eve,0,\r\n');
    await json(`/v1/features/${view}`, { ...body, createdTimes: 'event' }, 'PUT');
    expect(await seen()).toContain('eve,0,7\r\n');
  });

  test('the rows of a dataset become a version of one, the same again the same version', async () => {
    const { id } = (await json('/v1/datasets', { name: 'labels' })).body;
    const csv = `who,when,bought,note\r\nann,${at(15)},1,"a, b"\r\n,${at(25)},0,\r\nann,${at(25)},0,=x\r\n`;
    const form = new FormData();
    form.append('file', new Blob([csv]), 'labels.csv');
    await fetch(`${service.origin}/v1/datasets/${id}/files`, { method: 'POST', body: form });
    await json('/v1/datasets', { name: 'training' });
    const body = {
      into: 'training',
      views: [{ view, features: ['total', 'place'] }],
      source: { dataset: 'labels', time: 'when', keys: { customer: 'who' } },
    };
    const made = await json('/v1/features/training-sets', body);
    expect(made).toMatchObject({
      status: 201,
      body: {
        state: 'ready',
        source: { type: 'features', known: 'created', views: [{ view, features: ['total', 'place'] }] },
      },
    });
    expect(await json('/v1/features/training-sets', body)).toMatchObject({
      status: 200,
      body: { id: made.body.id },
    });
    const download = await fetch(`${service.origin}/datasets/training/download`);
    expect(await download.text()).toBe(
      [
        'who,when,bought,note,spending.total,spending.place_0,spending.place_1',
        `ann,${at(15)},1,"a, b",1,10,0.5`,
        `,${at(25)},0,,,,`,
        `ann,${at(25)},0,=x,2,20,0.5`,
        '',
      ].join('\r\n'),
    );
  });

  const rows = [label('ann', 15, 1)];
  test.each([
    ['an unknown view', { views: [{ view: 'none' }], rows }, 404, 'feature_view_not_found'],
    ['an unknown feature', { views: [{ view, features: ['none'] }], rows }, 400, 'invalid_request'],
    ['a view twice', { views: [{ view }, { view }], rows }, 400, 'invalid_request'],
    ['neither rows nor a source', { views: [{ view }] }, 400, 'invalid_request'],
    [
      'rows of another entity',
      { views: [{ view }], rows: [{ time: at(1), keys: { shop: 'x' } }] },
      400,
      'invalid_request',
    ],
    [
      'rows that differ',
      { views: [{ view }], rows: [...rows, { time: at(1), keys: { customer: 'a' } }] },
      422,
      'invalid_feature_row',
    ],
    [
      'a key of another type',
      { views: [{ view }], rows: [{ time: at(1), keys: { customer: 1 } }] },
      422,
      'invalid_feature_row',
    ],
    [
      'a column that is not there',
      { views: [{ view }], source: { dataset: 'labels', time: 'none', keys: { customer: 'who' } } },
      400,
      'invalid_request',
    ],
    [
      'a time that is none',
      { views: [{ view }], source: { dataset: 'labels', time: 'note', keys: { customer: 'who' } } },
      422,
      'invalid_feature_row',
    ],
  ])('%s is refused', async (_what, body, status, code) => {
    expect(await json('/v1/features/training-sets/rows', body)).toMatchObject({ status, body: { code } });
  });
});
