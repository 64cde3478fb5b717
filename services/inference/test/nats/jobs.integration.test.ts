import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { inferJobSubject, listDeadLetters, redriveDeadLetter } from '@millrace/bus';
import { newId } from '@millrace/contracts';
import { eventually, promisedTime } from '@millrace/testing';
import { startInference } from '../../src/start.ts';
import type { BusAnswer } from '../support/bus-requests.ts';
import { classifierBody, headersOf, readMailbox, submit } from '../support/bus-requests.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';

let serving: Serving;
let modelId: string;

beforeAll(async () => {
  // three deliveries, so that a test need not wait for sixteen
  serving = await startServing({ MILLRACE_INFER_JOB_DELIVERIES_MAX: '3' });
  ({ modelId } = await serving.registry.add('jobs', fixture('classifier')));
}, 60_000);

afterAll(() => serving.stop());

async function answersOf(
  mailbox: string,
  count: number,
  timeoutMs = 20_000,
): Promise<Map<string, BusAnswer>> {
  return eventually(
    async () => {
      const found = await readMailbox(serving.bus, mailbox);
      expect(found.length).toBeGreaterThanOrEqual(count);
      return new Map(found.map(({ id, answer }) => [id, answer]));
    },
    { timeoutMs },
  );
}

const deadLetters = async (id: string) =>
  (await listDeadLetters(serving.bus, { limit: 100 })).filter(({ messageId }) => messageId === id);

async function queued(): Promise<number> {
  return (await serving.bus.jsm.streams.info('MILLRACE_INFER')).state.messages;
}

describe('asynchronous requests', () => {
  test('the answer is that of HTTP, under the id of the request, and the queue is empty after it', async () => {
    const body = classifierBody({ id: 'mine' });
    const id = await submit(serving.bus, { modelId, body, mailbox: 'first' });
    await answersOf('first', 1);
    const [result] = await readMailbox(serving.bus, 'first');
    expect(result).toMatchObject({ id, messageId: id });
    expect(result?.answer.json).toEqual((await serving.post('/v2/models/jobs/infer', body)).body);
    await eventually(async () => expect(await queued()).toBe(0));
  });

  test('a request that comes again, even past the window for duplicates, is answered once', async () => {
    const id = await submit(serving.bus, { modelId, body: classifierBody(), mailbox: 'again' });
    await answersOf('again', 1);
    // the same request under another message id, which no window for duplicates knows
    await submit(
      serving.bus,
      { modelId, body: classifierBody(), mailbox: 'again', id: newId() },
      { 'ce-id': id },
    );
    await eventually(async () => expect(await queued()).toBe(0));
    expect(await readMailbox(serving.bus, 'again')).toHaveLength(1);
  });

  test.each<[string, string, string]>([
    ['not JSON', '{', 'invalid_json'],
    ['a wrong shape', classifierBody({}, { shape: [1, 9] }), 'invalid_shape'],
    ['no such version', classifierBody({ model_version: '7' }), 'version_not_found'],
  ])('bad input is answered with its error at once: %s', async (what, body, code) => {
    const mailbox = `bad-${what.replaceAll(' ', '-')}`;
    const id = await submit(serving.bus, { modelId, body, mailbox });
    const answer = (await answersOf(mailbox, 1)).get(id);
    expect(answer?.json.error?.code).toBe(code);
    expect(answer?.headers?.get('millrace-code')).toBe(code);
    expect(await deadLetters(id)).toEqual([]);
    await eventually(async () => expect(await queued()).toBe(0));
  });

  test('a late request is answered with an error and goes to the dead letters; sent back it is run', async () => {
    const deadline = new Date(Date.now() - 1_000).toISOString();
    const id = await submit(
      serving.bus,
      { modelId, body: classifierBody(), mailbox: 'late' },
      { 'millrace-deadline': deadline },
    );
    expect((await answersOf('late', 1)).get(id)?.json.error?.code).toBe('deadline_exceeded');
    const [letter] = await eventually(async () => {
      const letters = await deadLetters(id);
      expect(letters).toHaveLength(1);
      return letters;
    });
    expect(letter).toMatchObject({
      code: 'deadline_exceeded',
      consumer: 'inference-infer-normal',
      subject: inferJobSubject('normal', modelId),
      deliveries: 1,
    });
    await redriveDeadLetter(serving.bus, letter?.sequence ?? 0);
    const answers = await answersOf('late', 2);
    expect(answers.get(`${id}-redrive-${letter?.sequence}`)?.json).toMatchObject({ model_name: 'jobs' });
  });

  test('a model that cannot be loaded is tried again, then given up with the reason', async () => {
    const { modelId: broken } = await serving.registry.add('broken', Buffer.from('no model'));
    const id = await submit(serving.bus, { modelId: broken, body: classifierBody(), mailbox: 'broken' });
    const error = (await answersOf('broken', 1)).get(id)?.json.error;
    const [letter] = await eventually(async () => {
      const letters = await deadLetters(id);
      expect(letters).toHaveLength(1);
      return letters;
    });
    expect(letter).toMatchObject({ deliveries: 3, code: error?.code });
  });

  test('a request without a place for its answer goes to the dead letters', async () => {
    const cases: Record<string, string>[] = [
      {},
      { 'millrace-reply-to': 'millrace.job.train.cpu' },
      { 'millrace-reply-to': 'millrace.result.a.b' },
      { 'millrace-reply-to': 'millrace.result.>' },
    ];
    for (const fields of cases) {
      const id = newId();
      await serving.bus.js.publish(inferJobSubject('normal', modelId), classifierBody(), {
        msgID: id,
        headers: headersOf({ 'ce-id': id, ...fields }),
      });
      await eventually(async () =>
        expect(await deadLetters(id)).toMatchObject([{ code: 'invalid_request' }]),
      );
    }
    expect((await serving.bus.jsm.streams.info('MILLRACE_JOBS')).state.messages).toBe(0);
    await serving.bus.js.publish(inferJobSubject('normal', modelId), 'nothing but this');
    await eventually(async () => {
      const letters = await listDeadLetters(serving.bus, { limit: 100 });
      expect(letters.at(-1)).toMatchObject({ payload: 'nothing but this', code: 'invalid_request' });
    });
  });

  test('a request over the bound of the stream is refused when it is stored', async () => {
    const body = `${' '.repeat(1024 * 1024 - 8_000)}{}`;
    await expect(submit(serving.bus, { modelId, body, mailbox: 'big' })).rejects.toThrow(/maximum/);
  });
});

describe('lanes', () => {
  test('what waits in the high lane goes first, and HTTP is answered meanwhile', async () => {
    const { modelId: spinner } = await serving.registry.add('lanes', fixture('spinner'));
    const body = (turns: number) =>
      JSON.stringify({ inputs: [{ name: 'turns', shape: [1], datatype: 'INT64', data: [turns] }] });
    expect((await serving.post('/v2/models/lanes/infer', body(1))).status).toBe(200);
    const slow = { modelId: spinner, body: body(500), mailbox: 'lanes' };
    const normal = await Promise.all(Array.from({ length: 200 }, () => submit(serving.bus, slow)));
    const high = await Promise.all(
      Array.from({ length: 10 }, () => submit(serving.bus, { ...slow, lane: 'high' })),
    );
    const http: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const startedAt = performance.now();
      expect((await serving.post('/v2/models/lanes/infer', body(1))).status).toBe(200);
      http.push(performance.now() - startedAt);
    }
    const waitingAfterHttp = await queued();
    await answersOf('lanes', 210, 150_000);
    const order = (await readMailbox(serving.bus, 'lanes')).map(({ id }) => id);
    const places = high.map((id) => order.indexOf(id));
    // at most what was in hand when they came is before them
    expect(Math.max(...places)).toBeLessThan(order.length - 60);
    expect(new Set(order)).toEqual(new Set([...normal, ...high]));
    // the backlog was still there, so the requests over HTTP did not wait for its end
    expect(waitingAfterHttp).toBeGreaterThan(50);
    expect(Math.max(...http)).toBeLessThan(promisedTime(2_000));
  }, 240_000);
});

test('a stop gives back what was not begun, and another process answers all', async () => {
  const { modelId: spinner } = await serving.registry.add('stopped', fixture('spinner'));
  const body = JSON.stringify({ inputs: [{ name: 'turns', shape: [1], datatype: 'INT64', data: [500] }] });
  const second = await startInference(serving.environment);
  const ids = await Promise.all(
    Array.from({ length: 100 }, () => submit(serving.bus, { modelId: spinner, body, mailbox: 'stopped' })),
  );
  await second.close();
  const answers = await answersOf('stopped', 100, 60_000);
  expect(new Set(answers.keys())).toEqual(new Set(ids));
  for (const { json } of answers.values()) expect(json.error).toBeUndefined();
}, 90_000);
