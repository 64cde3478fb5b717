import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { Webhook } from 'standardwebhooks';
import type { Call, Gateway } from '../fixtures.ts';
import { callerOf, startGateway } from '../fixtures.ts';
import type { Receiver } from './receiver.ts';
import { publishEvent, startReceiver } from './receiver.ts';

let gateway: Gateway;
let receiver: Receiver;
let call: Call;

beforeAll(async () => {
  [receiver, gateway] = await Promise.all([
    startReceiver(),
    startGateway({ webhookNetworks: '127.0.0.0/8' }),
  ]);
  call = callerOf(gateway);
});
afterAll(async () => {
  await gateway.close();
  await receiver.close();
});

type Made = { id: string; secret: string };
async function make(path: string, types: string[], more: object = {}): Promise<Made> {
  const made = await call('/v1/webhooks', { body: { url: receiver.origin + path, types, ...more } });
  expect(made).toMatchObject({ status: 201 });
  return made.body as Made;
}

/** Lets the waits of a webhook be over, as time would. */
async function letTimePass(id: string): Promise<void> {
  const { pool } = gateway.database;
  await pool.query('update gateway.webhook_deliveries set next_at = now() where webhook_id = $1', [id]);
  await pool.query('update gateway.webhooks set held_until = now() where id = $1', [id]);
}

const delivery = async (id: string, eventId: string) =>
  (await call(`/v1/webhooks/${id}/deliveries/${eventId}`)).body;
const subjectsAt = (path: string) => receiver.at(path).map(({ event }) => event.subject);

describe('an event', () => {
  test('reaches the webhooks that want it, signed so that the public library accepts it', async () => {
    const { id, secret } = await make('/signed', ['model-version.*']);
    await make('/others', ['pipeline.*', '*.deleted']);
    await publishEvent(gateway.bus, { name: 'rollout.deleted', subject: 'r1' });
    const data = { model: 'iris', note: 'Grüße' };
    const eventId = await publishEvent(gateway.bus, {
      name: 'model-version.registered',
      subject: 'm1',
      data,
    });
    await eventually(() => expect(receiver.at('/signed').length).toBe(1));
    const [got] = receiver.at('/signed');
    const event = new Webhook(secret).verify(got?.body ?? '', got?.headers ?? {});
    expect(event).toMatchObject({
      specversion: '1.0',
      id: eventId,
      type: 'dev.millrace.model-version.registered.v1',
      aggregateversion: 1,
      data,
    });
    expect(got?.headers['webhook-id']).toBe(eventId);
    expect(() => new Webhook(secret).verify(`${got?.body} `, got?.headers ?? {})).toThrow();
    await eventually(() => expect(subjectsAt('/others')).toEqual(['r1']));
    await eventually(async () =>
      expect(await delivery(id, eventId)).toMatchObject({
        state: 'delivered',
        attempts: 1,
        lastAttempt: { status: 200, error: null, answer: 'thank you' },
        payload: got?.body,
      }),
    );
  });

  test('of a tenant reaches webhooks of that tenant only', async () => {
    await call('/v1/tenants', { body: { id: 'acme' } });
    const { id } = await make('/acme', ['pipeline.*'], { tenant: 'acme' });
    await make('/platform', ['pipeline.*']);
    await publishEvent(gateway.bus, { name: 'pipeline.failed', subject: 'theirs', tenant: 'acme' });
    await publishEvent(gateway.bus, { name: 'pipeline.failed', subject: 'ours', tenant: 'default' });
    await publishEvent(gateway.bus, { name: 'pipeline.failed', subject: 'unknown' });
    await eventually(() => expect(subjectsAt('/platform')).toEqual(['ours', 'unknown']));
    await eventually(() => expect(subjectsAt('/acme')).toEqual(['theirs']));
    const nosy = await call('/v1/principals', { body: { id: 'nosy', tenant: 'acme', roles: ['admin'] } });
    expect(nosy.status).toBe(201);
    const { key } = (await call('/v1/keys', { body: { principal: 'nosy', tenant: 'acme' } })).body as {
      key: string;
    };
    const { items } = (await call('/v1/webhooks', { key })).body as { items: { id: string }[] };
    expect(items.map((one) => one.id)).toEqual([id]);
    const { items: ours } = (await call('/v1/webhooks')).body as { items: { id: string }[] };
    const foreign = await call(`/v1/webhooks/${ours[0]?.id}/deliveries`, { key });
    expect(foreign.body).toMatchObject({ code: 'webhook_not_found' });
  });

  test('that comes again is delivered once', async () => {
    await make('/once', ['dataset.*']);
    const id = await publishEvent(gateway.bus, { name: 'dataset.ready', subject: 'd1' });
    await publishEvent(gateway.bus, { name: 'dataset.ready', subject: 'd1', id, messageId: `${id}-again` });
    await publishEvent(gateway.bus, { name: 'dataset.ready', subject: 'd2' });
    await eventually(() => expect(subjectsAt('/once')).toEqual(['d1', 'd2']));
  });
});

describe('a receiver', () => {
  test('that is away gets everything in order once it is back', async () => {
    const { id } = await make('/away', ['job.*']);
    receiver.answer('/away', (_request, response) => void response.writeHead(503).end('later'));
    const sent: string[] = [];
    for (const subject of ['a', 'b', 'c'])
      sent.push(await publishEvent(gateway.bus, { name: 'job.done', subject }));
    await eventually(async () =>
      expect(await delivery(id, String(sent[0]))).toMatchObject({
        state: 'waiting',
        attempts: 1,
        lastAttempt: { status: 503, answer: 'later' },
      }),
    );
    await eventually(async () => expect(await delivery(id, String(sent[2]))).toMatchObject({ attempts: 0 }));
    expect(subjectsAt('/away')).toEqual(['a']);
    expect((await call(`/v1/webhooks/${id}`)).body.failingSince).not.toBeNull();
    receiver.accept('/away');
    await letTimePass(id);
    await eventually(() => expect(subjectsAt('/away')).toEqual(['a', 'a', 'b', 'c']), { timeoutMs: 5_000 });
    await eventually(async () =>
      expect((await call(`/v1/webhooks/${id}`)).body).toMatchObject({ failingSince: null }),
    );
  });

  test('that refuses one event gets the others meanwhile', async () => {
    const { id } = await make('/picky', ['job.*']);
    receiver.answer('/picky', ({ event }, response) => {
      response.writeHead(event.subject === 'bad' ? 400 : 200).end();
    });
    const bad = await publishEvent(gateway.bus, { name: 'job.done', subject: 'bad' });
    await publishEvent(gateway.bus, { name: 'job.done', subject: 'good' });
    await eventually(() => expect(subjectsAt('/picky')).toEqual(['bad', 'good']));
    await gateway.database.pool.query(
      'update gateway.webhook_deliveries set attempts = 11 where webhook_id = $1 and event_id = $2',
      [id, bad],
    );
    await letTimePass(id);
    await eventually(
      async () => expect(await delivery(id, bad)).toMatchObject({ state: 'failed', attempts: 12 }),
      {
        timeoutMs: 5_000,
      },
    );
  });

  test('that is gone, or was away for days, is disabled, which is an event', async () => {
    await make('/watch', ['webhook.disabled']);
    const gone = await make('/gone', ['job.*']);
    receiver.answer('/gone', (_request, response) => void response.writeHead(410).end());
    const away = await make('/long-away', ['job.*']);
    receiver.answer('/long-away', (_request, response) => void response.writeHead(500).end());
    await gateway.database.pool.query(
      "update gateway.webhooks set failing_since = now() - interval '73 hours' where id = $1",
      [away.id],
    );
    await publishEvent(gateway.bus, { name: 'job.done', subject: 'x' });
    await eventually(
      () => {
        const ids = receiver.at('/watch').map(({ event }) => event.data.webhookId);
        expect(ids.sort()).toEqual([gone.id, away.id].sort());
      },
      { timeoutMs: 5_000 },
    );
    const { body } = await call(`/v1/webhooks/${away.id}`);
    expect(body).toMatchObject({ disabledReason: 'nothing went through for three days' });
    await publishEvent(gateway.bus, { name: 'job.done', subject: 'y' });
    receiver.accept('/long-away');
    await call(`/v1/webhooks/${away.id}`, { method: 'PATCH', body: { enabled: true } });
    await publishEvent(gateway.bus, { name: 'job.done', subject: 'z' });
    await eventually(() => expect(subjectsAt('/long-away')).toContain('z'));
    expect(subjectsAt('/long-away')).not.toContain('y');
  });

  test('that redirects, never answers or answers without end is a failure, and nothing more is sent', async () => {
    const { id } = await make('/redirects', ['none']);
    receiver.answer('/redirects', (_request, response) => {
      response.writeHead(307, { location: `${receiver.origin}/elsewhere` }).end();
    });
    const test_ = async () => (await call(`/v1/webhooks/${id}/test`, { method: 'POST' })).body;
    expect(await test_()).toMatchObject({ status: 307 });
    expect(receiver.at('/elsewhere')).toEqual([]);
    receiver.answer('/redirects', () => undefined);
    expect(await test_()).toMatchObject({ status: null, error: 'no whole answer within 1000 ms' });
    receiver.answer('/redirects', (_request, response) => {
      const timer = setInterval(() => response.write('x'.repeat(10_000)), 1);
      response.on('close', () => clearInterval(timer));
    });
    const endless = await test_();
    expect(endless).toMatchObject({ status: 200, error: null });
    expect(endless.answer).toHaveLength(1_024);
  });
});

describe('secrets', () => {
  test('two sign while one replaces the other, and none is readable anywhere', async () => {
    const { id, secret } = await make('/rotated', ['none']);
    const test_ = async () => {
      await call(`/v1/webhooks/${id}/test`, { method: 'POST' });
      return receiver.at('/rotated').at(-1);
    };
    const rotate = async (overlapSeconds: number) =>
      (await call(`/v1/webhooks/${id}/rotate-secret`, { body: { overlapSeconds } })).body.secret as string;
    const next = await rotate(60);
    const both = await test_();
    for (const one of [secret, next]) new Webhook(one).verify(both?.body ?? '', both?.headers ?? {});
    const last = await rotate(0);
    const single = await test_();
    new Webhook(last).verify(single?.body ?? '', single?.headers ?? {});
    for (const one of [secret, next])
      expect(() => new Webhook(one).verify(single?.body ?? '', single?.headers ?? {})).toThrow();
    const { rows } = await gateway.database.pool.query('select * from gateway.webhooks');
    const everywhere = JSON.stringify([
      rows,
      (await call('/v1/webhooks')).body,
      (await call('/v1/audit')).body,
    ]);
    for (const one of [secret, next, last]) expect(everywhere).not.toContain(one.slice('whsec_'.length));
  });
});

describe('sending again', () => {
  test('one event, or those of a span of time, under their old ids', async () => {
    const { id } = await make('/again', ['job.*']);
    const since = new Date(Date.now() - 60_000).toISOString();
    const ids: string[] = [];
    for (const subject of ['1', '2', '3'])
      ids.push(await publishEvent(gateway.bus, { name: 'job.done', subject }));
    await eventually(() => expect(subjectsAt('/again')).toEqual(['1', '2', '3']));
    await eventually(async () =>
      expect(await delivery(id, String(ids[2]))).toMatchObject({ state: 'delivered' }),
    );
    await call(`/v1/webhooks/${id}/deliveries/${ids[1]}/replay`, { method: 'POST' });
    await eventually(() => expect(subjectsAt('/again')).toEqual(['1', '2', '3', '2']));
    await eventually(async () =>
      expect(await delivery(id, String(ids[1]))).toMatchObject({ state: 'delivered' }),
    );
    const span = { since, until: new Date(Date.now() + 1_000).toISOString() };
    const replayed = await call(`/v1/webhooks/${id}/replay`, { body: span });
    expect(replayed.body).toEqual({ queued: 3 });
    await eventually(() => expect(subjectsAt('/again').slice(4)).toEqual(['1', '2', '3']));
    expect(new Set(receiver.at('/again').map(({ headers }) => headers['webhook-id']))).toEqual(new Set(ids));
    const page = (await call(`/v1/webhooks/${id}/deliveries?limit=2`)).body as {
      items: { eventId: string }[];
      nextCursor: string;
    };
    const rest = (await call(`/v1/webhooks/${id}/deliveries?limit=2&cursor=${page.nextCursor}`))
      .body as typeof page;
    expect([...page.items, ...rest.items].map(({ eventId }) => eventId)).toEqual([...ids].reverse());
    const wrong = await call(`/v1/webhooks/${id}/replay`, { body: { since: span.until, until: since } });
    expect(wrong.body).toMatchObject({ code: 'invalid_request' });
  });
});

test('bad requests', async () => {
  const bad: [object, string][] = [
    [{ url: 'ftp://example.com', types: ['*'] }, 'webhook_url_not_allowed'],
    [{ url: 'https://user:word@example.com', types: ['*'] }, 'webhook_url_not_allowed'],
    [{ url: 'http://169.254.169.254/latest/meta-data', types: ['*'] }, 'webhook_url_not_allowed'],
    [{ url: 'http://[::1]/', types: ['*'] }, 'webhook_url_not_allowed'],
    [{ url: 'https://example.com', types: ['Model Version'] }, 'invalid_request'],
    [{ url: 'https://example.com', types: [] }, 'invalid_request'],
  ];
  for (const [body, code] of bad) expect((await call('/v1/webhooks', { body })).body).toMatchObject({ code });
  const nobody = '00000000-0000-7000-8000-000000000000';
  expect((await call(`/v1/webhooks/${nobody}`)).body).toMatchObject({ code: 'webhook_not_found' });
  const { id } = await make('/bad', ['none']);
  const unknown = await call(`/v1/webhooks/${id}/deliveries/never`);
  expect(unknown.body).toMatchObject({ code: 'webhook_delivery_not_found' });
  expect((await call(`/v1/webhooks/${id}`, { method: 'DELETE' })).status).toBe(204);
});
