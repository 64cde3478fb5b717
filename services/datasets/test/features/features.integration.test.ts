import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callRpc, featureSubject, HEADER, listDeadLetters } from '@millrace/bus';
import { FeatureViewChanged, FeatureViewDeleted, newId, readFeaturesMethod } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import { headers } from '@nats-io/transport-node';
import { sweepViews } from '../../src/features/view-sweeper.ts';
import { startDatasets } from '../support/start-datasets.ts';

type Json = Record<string, unknown>;
let service: Awaited<ReturnType<typeof startDatasets>>;

beforeAll(async () => {
  service = await startDatasets();
});
afterAll(() => service.stop());

async function call(method: string, path: string, body?: unknown, more: Record<string, string> = {}) {
  const response = await fetch(`${service.origin}/v1/features${path}`, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...more },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const answer: Json = text === '' ? {} : JSON.parse(text);
  return { status: response.status, body: answer, etag: response.headers.get('etag') ?? '' };
}

const FEATURES = [
  { name: 'total', type: 'float' },
  { name: 'orders', type: 'int' },
  { name: 'vip', type: 'bool' },
  { name: 'city', type: 'string' },
  { name: 'embedding', type: 'vector', size: 3 },
];
const VALUES = {
  total: 0.1,
  orders: -3,
  vip: false,
  city: 'Zürich, "old"\u0000',
  embedding: [1, -0.5, 1e300],
};
let count = 0;

/** A view of its own; gives its name. */
async function view(more: Json = {}): Promise<string> {
  count += 1;
  const name = `view_${count}`;
  const entity = { name: 'customer', keyType: 'string' };
  const made = await call('POST', '/views', { name, entity, features: FEATURES, ...more });
  expect(made).toMatchObject({ status: 201, body: { name, revision: 1 }, etag: '"1"' });
  return name;
}

const ago = (seconds: number): string => new Date(Date.now() - seconds * 1_000).toISOString();
const row = (entity: string | number, eventTime: string, orders: number) => ({
  entity,
  eventTime,
  values: { orders },
});
const ordersOf = async (name: string, entity: string) =>
  ((await call('GET', `/${name}/${entity}`)).body.values as Json).orders;
const lastEvent = async (subject: string) =>
  (await service.bus.jsm.streams.getMessage('MILLRACE_EVENTS', { last_by_subj: subject }))?.json<Json>();

describe('views', () => {
  test('one is made once, changed by its revision and deleted; facts tell of it', async () => {
    const name = await view({ description: 'a', owner: 'team', ttlSeconds: 60 });
    const entity = { name: 'customer', keyType: 'string' };
    const same = { name, entity, features: FEATURES, description: 'a', owner: 'team', ttlSeconds: 60 };
    expect(await call('POST', '/views', same)).toMatchObject({ status: 200, body: { revision: 1 } });
    expect(await call('POST', '/views', { ...same, ttlSeconds: 61 })).toMatchObject({
      status: 409,
      body: { code: 'feature_view_exists' },
    });
    const change = { ttlSeconds: null, addFeatures: [{ name: 'late', type: 'int' }] };
    expect(await call('PATCH', `/views/${name}`, change)).toMatchObject({
      status: 428,
      body: { code: 'precondition_required' },
    });
    const changed = await call('PATCH', `/views/${name}`, change, { 'if-match': '"1"' });
    expect(changed).toMatchObject({ status: 200, etag: '"2"', body: { ttlSeconds: null, owner: 'team' } });
    expect((changed.body.features as Json[]).at(-1)).toEqual({ name: 'late', type: 'int' });
    expect(await call('PATCH', `/views/${name}`, { owner: 'x' }, { 'if-match': '"1"' })).toMatchObject({
      status: 412,
      body: { code: 'precondition_failed' },
    });
    await eventually(async () =>
      expect(await lastEvent(FeatureViewChanged.subject)).toMatchObject({ name, revision: 2 }),
    );
    const listed = await call('GET', '/views?limit=500&entity=customer');
    expect((listed.body.items as Json[]).map((one) => one.name)).toContain(name);
    expect((await call('DELETE', `/views/${name}`, undefined, { 'if-match': '"2"' })).status).toBe(204);
    expect(await call('GET', `/views/${name}`)).toMatchObject({ body: { code: 'feature_view_not_found' } });
    await eventually(async () => expect(await lastEvent(FeatureViewDeleted.subject)).toMatchObject({ name }));
  });

  test('a page goes on where the last one ended', async () => {
    for (let i = 0; i < 3; i += 1) await view({ entity: { name: 'paged', keyType: 'int' } });
    const first = await call('GET', '/views?entity=paged&limit=2');
    const rest = await call('GET', `/views?entity=paged&limit=2&cursor=${first.body.nextCursor}`);
    expect([(first.body.items as Json[]).length, (rest.body.items as Json[]).length]).toEqual([2, 1]);
    expect(rest.body.nextCursor).toBeNull();
  });

  const entity = { name: 'customer', keyType: 'string' };
  const features = [{ name: 'a', type: 'int' }];
  test.each([
    [{ name: 'views', entity, features }, 'invalid_feature_view'],
    [{ name: 'x', entity, features: [...features, ...features] }, 'invalid_feature_view'],
    [{ name: 'x', entity, features: [{ name: 'a', type: 'vector' }] }, 'invalid_feature_view'],
    [{ name: 'x', entity, features: [{ name: 'a', type: 'int', size: 2 }] }, 'invalid_feature_view'],
    [{ name: 'x', entity: { name: 'customer', keyType: 'int' }, features }, 'invalid_feature_view'],
    [{ name: 'No', entity, features }, 'invalid_request'],
    [{ name: 'x', entity, features: [] }, 'invalid_request'],
    [{ name: 'x', entity, features, ttlSeconds: 0 }, 'invalid_request'],
    [{ name: 'x', entity, features, extra: 1 }, 'unknown_field'],
  ])('%j is refused', async (body, code) => {
    await view();
    const { status, body: problem } = await call('POST', '/views', body);
    expect(status).toBe(code === 'invalid_feature_view' ? 422 : 400);
    expect(problem.code).toBe(code);
  });

  test('the rows of a deleted view go, and those of a new one of its name are others', async () => {
    const name = await view();
    await call('PUT', `/${name}/c1`, { eventTime: ago(5), values: VALUES });
    const { id } = (await call('GET', `/views/${name}`)).body;
    await call('DELETE', `/views/${name}`, undefined, { 'if-match': '*' });
    expect(await call('GET', `/${name}/c1`)).toMatchObject({ status: 404 });
    await call('POST', '/views', { name, entity, features });
    expect((await call('GET', `/${name}/c1`)).body.reason).toBe('missing');
    await sweepViews(service.database);
    for (const table of ['feature_values', 'feature_history'])
      expect(
        (await service.database.pool.query(`select 1 from datasets.${table} where view_id = $1`, [id])).rows,
      ).toEqual([]);
  });
});

describe('values', () => {
  test('come back as they went, one and many', async () => {
    const name = await view();
    const eventTime = '2026-11-01T00:00:00.123456Z';
    expect(
      await call('PUT', `/${name}/${encodeURIComponent('a/b ü')}`, { eventTime, values: VALUES }),
    ).toMatchObject({
      status: 200,
      body: { rows: 1, added: 1, newest: 1 },
    });
    const one = await call('GET', `/${name}/${encodeURIComponent('a/b ü')}`);
    expect(one.body).toEqual({
      view: name,
      entity: 'a/b ü',
      eventTime,
      createdTime: expect.any(String),
      reason: null,
      values: VALUES,
    });
    const missing = { ...one.body, entity: 'x', eventTime: null, createdTime: null, reason: 'missing' };
    const nulls = Object.fromEntries(FEATURES.map((feature) => [feature.name, null]));
    const many = await call('GET', `/${name}?entity=x&entity=${encodeURIComponent('a/b ü')}`);
    expect(many.body.items).toEqual([{ ...missing, values: nulls }, one.body]);
    const looked = await call('POST', `/${name}/lookup`, { entities: ['a/b ü'] });
    expect(looked.body.items).toEqual([one.body]);
  });

  test('an older event never takes the place of a newer one; a correction of the same one does', async () => {
    const name = await view();
    const [old, mid, now] = [ago(300), ago(200), ago(100)];
    const put = (eventTime: string, orders: number) =>
      call('PUT', `/${name}/c`, { eventTime, values: { orders } });
    expect((await put(mid, 2)).body).toEqual({ rows: 1, added: 1, newest: 1 });
    expect((await put(old, 1)).body).toEqual({ rows: 1, added: 1, newest: 0 });
    expect(await ordersOf(name, 'c')).toBe(2);
    expect((await put(mid, 2)).body).toEqual({ rows: 1, added: 0, newest: 0 });
    expect((await put(mid, 3)).body).toEqual({ rows: 1, added: 1, newest: 1 });
    expect(await ordersOf(name, 'c')).toBe(3);
    // back to what it was first is a correction as well
    expect((await put(mid, 2)).body.added).toBe(1);
    const rows = [row('c', old, 7), row('d', now, 5), row('c', now, 4), row('d', mid, 6)];
    expect((await call('PUT', `/${name}`, { rows })).body).toEqual({ rows: 4, added: 4, newest: 2 });
    expect([await ordersOf(name, 'c'), await ordersOf(name, 'd')]).toEqual([4, 5]);
  });

  test('writers of the same entities at once leave the newest', async () => {
    const name = await view();
    const entities = Array.from({ length: 20 }, (_, i) => `e${i}`);
    const times = Array.from({ length: 8 }, (_, i) => ago(1_000 - i));
    await Promise.all(
      [3, 7, 1, 5, 0, 2, 6, 4].map((i) =>
        call('PUT', `/${name}`, {
          rows: (i % 2 === 0 ? entities : entities.toReversed()).map((one) => row(one, times[i] ?? '', i)),
        }),
      ),
    );
    const { items } = (await call('POST', `/${name}/lookup`, { entities })).body as { items: Json[] };
    expect(items.map((one) => (one.values as Json).orders)).toEqual(entities.map(() => 7));
  });

  test('past the TTL a value is null and says why, though it is in memory', async () => {
    const name = await view({ ttlSeconds: 10 });
    await call('PUT', `/${name}/c`, { eventTime: ago(8.5), values: { orders: 1 } });
    expect((await call('GET', `/${name}/c`)).body).toMatchObject({ reason: null, values: { orders: 1 } });
    await eventually(async () =>
      expect((await call('GET', `/${name}/c`)).body).toMatchObject({
        reason: 'expired',
        eventTime: expect.any(String),
        values: { orders: null },
      }),
    );
    await call('PATCH', `/views/${name}`, { ttlSeconds: null }, { 'if-match': '*' });
    expect((await call('GET', `/${name}/c`)).body.reason).toBeNull();
  });

  test('another process serves what was written here, and what is deleted is gone there', async () => {
    const name = await view();
    const replica = service.openReplica();
    const there = async () => (await replica.featureStore.get('default', name, ['c']))[0];
    try {
      expect((await there())?.reason).toBe('missing');
      await call('PUT', `/${name}/c`, { eventTime: ago(9), values: { orders: 1 } });
      await eventually(async () => expect(await there()).toMatchObject({ values: { orders: 1 } }));
      await call('PATCH', `/views/${name}`, { ttlSeconds: 5 }, { 'if-match': '*' });
      await eventually(async () => expect((await there())?.reason).toBe('expired'));
      expect((await call('DELETE', `/${name}/c`)).status).toBe(204);
      await eventually(async () => expect((await there())?.reason).toBe('missing'));
      expect(await call('DELETE', `/${name}/c`)).toMatchObject({
        body: { code: 'feature_entity_not_found' },
      });
    } finally {
      await replica.stop();
    }
  });

  test('other services read them by request, of the entity that each view is about', async () => {
    const name = await view({ ttlSeconds: 50 });
    await call('PUT', `/${name}/c`, { eventTime: ago(5), values: { orders: 4 } });
    const read = (request: { tenant: string; entities: Record<string, string>; views: string[] }) =>
      callRpc(service.bus, 'datasets', 'features', readFeaturesMethod, request);
    const entities = { customer: 'c', shop: 's' };
    expect((await read({ tenant: 'default', entities, views: [name] })).views).toEqual([
      {
        view: name,
        entity: 'c',
        eventTime: expect.any(String),
        reason: null,
        ttlSeconds: 50,
        values: { total: null, orders: 4, vip: null, city: null, embedding: null },
        sizes: { embedding: 3 },
      },
    ]);
    await expect(read({ tenant: 'another', entities, views: [name] })).rejects.toMatchObject({
      code: 'feature_view_not_found',
    });
    await expect(read({ tenant: 'default', entities: { shop: 's' }, views: [name] })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  test('whole numbers are keys in one form', async () => {
    const name = await view({ entity: { name: 'device', keyType: 'int' } });
    await call('PUT', `/${name}`, { rows: [row(42, ago(1), 1)] });
    expect(await ordersOf(name, '42')).toBe(1);
    for (const key of ['042', '4.2', 'x', '9007199254740993'])
      expect(await call('GET', `/${name}/${key}`)).toMatchObject({
        status: 422,
        body: { code: 'invalid_feature_row' },
      });
  });

  test.each([
    [{ values: { orders: 1.5 } }, 'rows.0.values.orders'],
    [{ values: { total: 'x' } }, 'rows.0.values.total'],
    [{ values: { vip: 1 } }, 'rows.0.values.vip'],
    [{ values: { city: 'x'.repeat(4_097) } }, 'rows.0.values.city'],
    [{ values: { embedding: [1, 2] } }, 'rows.0.values.embedding'],
    [{ values: { constructor: 1 } }, 'constructor'],
    [{ eventTime: '2999-01-01T00:00:00Z' }, 'rows.0.eventTime'],
    [{ createdTime: '2999-01-01T00:00:00Z' }, 'rows.0.createdTime'],
    [{ entity: 7 }, 'rows.0.entity'],
    [{ entity: 'a\nb' }, 'rows.0.entity'],
  ])('%j is refused by its field, and nothing of the request is written', async (fault, field) => {
    const name = await view();
    const good = row('good', ago(5), 1);
    const { status, body } = await call('PUT', `/${name}`, { rows: [{ ...good, ...fault }, good] });
    expect([status, body.code]).toEqual(
      field === 'constructor' ? [400, 'unknown_field'] : [422, 'invalid_feature_row'],
    );
    expect(String(body.detail)).toContain(field);
    expect((await call('GET', `/${name}/good`)).body.reason).toBe('missing');
  });
});

describe('rows over the bus', () => {
  async function publish(viewId: string, body: unknown, messageId: string, tenant = 'default') {
    const made = headers();
    made.set(HEADER.tenant, tenant);
    made.set(HEADER.id, messageId);
    await service.bus.js.publish(featureSubject(viewId), JSON.stringify(body), { headers: made });
  }

  test('are stored, each message once; what can never be stored is a dead letter', async () => {
    const name = await view();
    const id = String((await call('GET', `/views/${name}`)).body.id);
    expect((await call('GET', `/${name}/c`)).body.reason).toBe('missing');
    const [first, refused, foreign] = [newId(), newId(), newId()];
    await publish(id, { rows: [row('c', ago(9), 1)] }, first);
    await eventually(async () => expect(await ordersOf(name, 'c')).toBe(1));
    await publish(id, { rows: [row('c', ago(1), 99)] }, first);
    await publish(id, { rows: [row('c', ago(9), 1.5)] }, refused);
    await publish(id, { rows: [row('c', ago(1), 99)] }, foreign, 'another');
    await publish(id, { rows: [row('d', ago(2), 2)] }, newId());
    await eventually(async () => expect(await ordersOf(name, 'd')).toBe(2));
    await eventually(async () => {
      const letters = await listDeadLetters(service.bus, { limit: 10 });
      expect(Object.fromEntries(letters.map(({ messageId, code }) => [messageId, code]))).toEqual({
        [refused]: 'invalid_feature_row',
        [foreign]: 'feature_view_not_found',
      });
    });
    expect(await ordersOf(name, 'c')).toBe(1);
    await eventually(async () =>
      expect((await service.bus.jsm.streams.info('MILLRACE_FEATURES')).state.messages).toBe(0),
    );
  });
});
