import { gzipSync } from 'node:zlib';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { HealthCheckResponseSchema } from '../../src/grpc/generated/grpc/health/v1/health_pb.ts';
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../../src/grpc/generated/grpc/reflection/v1/reflection_pb.ts';
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from '../../src/grpc/generated/inference/v2/grpc_inference_service_pb.ts';
import { STREAM_REQUESTS_MAX } from '../../src/grpc/infer/infer-stream.ts';
import type { GrpcClient } from '../support/grpc-client.ts';
import { connectGrpc, framed } from '../support/grpc-client.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const STREAM = '/inference.GRPCInferenceService/ModelStreamInfer';
const CHECK = '/grpc.health.v1.Health/Check';
const WATCH = '/grpc.health.v1.Health/Watch';
const REFLECT = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
/** Turns of the spinner's loop that take some seconds. */
const LONG_TURNS = 300_000;
const MESSAGE_BYTES_MAX = 1_000_000;

let serving: Serving;
let client: GrpcClient;

beforeAll(async () => {
  serving = await startServing({
    MILLRACE_PREDICT_BODY_BYTES_MAX: String(MESSAGE_BYTES_MAX),
    MILLRACE_QUEUE_REQUESTS_MAX: '2',
    MILLRACE_HOSTS_PER_MODEL: '1',
  });
  await serving.registry.add('classifier', fixture('classifier'));
  await serving.registry.add('cnn', fixture('cnn'));
  await serving.registry.add('spinner', fixture('spinner'));
  client = connectGrpc(serving.grpc);
});

afterAll(async () => {
  client?.close();
  await serving?.stop();
});

function request(id = '', model = 'classifier', changes: object = {}): Uint8Array {
  const input = { name: 'float_input', datatype: 'FP32', shape: [1n, 10n], contents: { fp32Contents: ROW } };
  const made = create(ModelInferRequestSchema, { modelName: model, id, inputs: [input], ...changes });
  return toBinary(ModelInferRequestSchema, made);
}

function spin(turns: number, id = '', more: object = {}): Uint8Array {
  const contents = { int64Contents: [BigInt(turns)] };
  const inputs = [{ name: 'turns', datatype: 'INT64', shape: [1n], contents }];
  return request(id, 'spinner', { inputs, ...more });
}

async function failures(code: string): Promise<number> {
  const text = await (await fetch(`${serving.origin}/metrics`)).text();
  const found = new RegExp(`failures_total\\{[^}]*code="${code}"[^}]*\\} (\\d+)`).exec(text);
  return Number(found?.[1] ?? 0);
}

async function queueDepth(): Promise<number> {
  const report = (await (await fetch(`${serving.origin}/v1/inference/models`)).json()) as {
    models: { model: string; queue: { depth: number; running: number } }[];
  };
  const { queue } = report.models.find(({ model }) => model === 'spinner') ?? {};
  return queue === undefined ? 0 : queue.depth + queue.running;
}

describe('a unary call', () => {
  test('may come in pieces of any size', async () => {
    const { stream, answer } = client.open(INFER);
    for (const byte of framed(request('pieces'))) stream.write(Buffer.of(byte));
    stream.end();
    const { status, messages } = await answer;
    expect(status).toBe(0);
    expect(fromBinary(ModelInferResponseSchema, messages[0] as Buffer)).toMatchObject({ id: 'pieces' });
  });

  test('takes exactly one whole message', async () => {
    const one = framed(request());
    const bodies = { none: Buffer.alloc(0), half: one.subarray(0, -1), two: Buffer.concat([one, one]) };
    for (const body of Object.values(bodies)) {
      const { stream, answer } = client.open(INFER);
      stream.end(body);
      expect(await answer).toMatchObject({ status: 3, code: 'invalid_request' });
    }
  });

  test('is refused when it is not gRPC', async () => {
    expect(await client.call(INFER, request(), { 'content-type': 'application/json' })).toMatchObject({
      httpStatus: 415,
    });
    expect(await client.open(INFER, { ':method': 'GET' }).answer).toMatchObject({ httpStatus: 415 });
    const { stream, answer } = client.open(INFER);
    stream.end(Buffer.from([9, 0, 0, 0, 0]));
    expect(await answer).toMatchObject({ status: 3 });
    expect(await client.call('/no.Service/Method', request())).toMatchObject({ httpStatus: 200, status: 12 });
  });

  test('is refused by the length that it announces, and by the size that it inflates to', async () => {
    const { stream, answer } = client.open(INFER);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(MESSAGE_BYTES_MAX + 1, 1);
    stream.write(prefix);
    expect(await answer).toMatchObject({ status: 8, code: 'payload_too_large' });
    const bomb = gzipSync(Buffer.alloc(MESSAGE_BYTES_MAX + 1));
    const compressed = (body: Buffer, encoding: string) => {
      const call = client.open(INFER, { 'grpc-encoding': encoding });
      const message = framed(body);
      message[0] = 1;
      call.stream.end(message);
      return call.answer;
    };
    expect(await compressed(bomb, 'gzip')).toMatchObject({ status: 8, code: 'payload_too_large' });
    expect(await compressed(Buffer.from('x'), 'gzip')).toMatchObject({ status: 3, code: 'invalid_request' });
    expect(await compressed(Buffer.from('x'), 'br')).toMatchObject({
      status: 3,
      code: 'unsupported_media_type',
    });
    expect(await compressed(gzipSync(request('zipped')), 'gzip')).toMatchObject({ status: 0 });
  });

  test('names its id and code when it fails', async () => {
    const answer = await client.call(INFER, request('', 'modèle'), { 'x-request-id': 'given-id' });
    expect(answer).toMatchObject({
      status: 5,
      code: 'model_not_found',
      message: expect.stringContaining('modèle'),
      trailers: { 'x-request-id': 'given-id' },
    });
  });
});

describe('a request that waits', () => {
  test('is dropped when its caller goes away, and when its deadline passes', async () => {
    const long = client.call(INFER, spin(LONG_TURNS));
    await eventually(async () => expect(await queueDepth()).toBe(1));
    // a model host holds one request beside the one that it runs
    const next = client.call(INFER, spin(1));
    await eventually(async () => expect(await queueDepth()).toBe(2));
    const gone = client.open(INFER);
    gone.stream.end(framed(spin(1)));
    await eventually(async () => expect(await queueDepth()).toBe(3));
    const before = await failures('request_cancelled');
    gone.stream.close(8);
    await gone.answer.catch(() => undefined);
    const late = client.call(INFER, spin(1), { 'grpc-timeout': '100m' });
    expect(await late).toMatchObject({ status: 4, code: 'deadline_exceeded' });
    const own = spin(1, '', {
      parameters: { timeout: { parameterChoice: { case: 'int64Param', value: 1_000n } } },
    });
    expect(await client.call(INFER, own)).toMatchObject({ status: 4, code: 'deadline_exceeded' });
    expect(await long).toMatchObject({ status: 0 });
    expect(await next).toMatchObject({ status: 0 });
    expect(await failures('request_cancelled')).toBe(before + 1);
  }, 30_000);

  test('is refused when the queue is full, and says when to come back', async () => {
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, i) => client.call(INFER, spin(LONG_TURNS / 30, String(i)))),
    );
    const refused = answers.filter(({ status }) => status !== 0);
    expect(refused.length).toBeGreaterThanOrEqual(1);
    for (const answer of refused)
      expect(answer).toMatchObject({ status: 8, code: 'queue_full', trailers: { 'retry-after': '1' } });
    expect(answers.filter(({ status }) => status === 0).length).toBeGreaterThanOrEqual(2);
  }, 30_000);
});

describe('a stream', () => {
  const read = (messages: Buffer[]) =>
    messages.map((message) => fromBinary(ModelStreamInferResponseSchema, message));

  test('takes many small messages in one piece, more than are in hand at once', async () => {
    const { stream, answer } = client.open(STREAM);
    const count = STREAM_REQUESTS_MAX * 3;
    // the queue of this service holds two requests, so a model that is not there shows how many are in hand
    stream.end(Buffer.concat(Array.from({ length: count }, (_, i) => framed(request(String(i), 'none')))));
    const { status, messages } = await answer;
    expect(status).toBe(0);
    const answers = read(messages);
    expect(answers.map(({ inferResponse }) => Number(inferResponse?.id)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: count }, (_, i) => i),
    );
    expect(answers[0]).toMatchObject({
      errorMessage: expect.stringContaining('none'),
      inferResponse: {
        parameters: { 'millrace-code': { parameterChoice: { value: 'model_not_found' } } },
      },
    });
  });

  test('answers in the order in which requests are done', async () => {
    const { stream, answer } = client.open(STREAM);
    stream.write(framed(spin(LONG_TURNS / 30, 'slow')));
    await eventually(async () => expect(await queueDepth()).toBe(1));
    stream.end(framed(request('fast')));
    const { status, messages } = await answer;
    expect(status).toBe(0);
    expect(read(messages).map(({ inferResponse }) => inferResponse?.id)).toEqual(['fast', 'slow']);
  });

  test('ends with an error when what comes is no message', async () => {
    const { stream, answer } = client.open(STREAM);
    stream.write(framed(request('well')));
    stream.end(Buffer.from([7, 0, 0, 0, 0]));
    expect(await answer).toMatchObject({ status: 3, code: 'invalid_request' });
  });
});

describe('health and reflection', () => {
  const state = (message: Buffer | undefined) =>
    fromBinary(HealthCheckResponseSchema, message as Buffer).status;
  const service = (name: string) => Buffer.from(`\x0a${String.fromCharCode(name.length)}${name}`);

  test('health answers for the server and the service, without a key from anywhere', async () => {
    for (const message of [Buffer.alloc(0), service('inference.GRPCInferenceService')]) {
      const { status, messages } = await client.call(CHECK, message, { ':authority': 'example.com' });
      expect([status, state(messages[0])]).toEqual([0, 1]);
    }
    expect(await client.call(CHECK, service('other'))).toMatchObject({
      status: 5,
      code: 'service_not_found',
    });
  });

  test('a watch of a service that is not here says so', async () => {
    const { stream, answer } = client.open(WATCH);
    stream.write(framed(service('other')));
    const first = await new Promise<Buffer>((resolve) => stream.once('data', resolve));
    expect(state(first.subarray(5))).toBe(3);
    stream.close();
    await answer;
  });

  test('reflection lists the services and gives their files', async () => {
    const asked = [
      { case: 'listServices' as const, value: '' },
      { case: 'fileContainingSymbol' as const, value: 'inference.GRPCInferenceService.ModelInfer' },
      { case: 'fileByFilename' as const, value: 'none.proto' },
    ];
    const { stream, answer } = client.open(REFLECT);
    for (const messageRequest of asked) {
      const made = create(ServerReflectionRequestSchema, { messageRequest });
      stream.write(framed(toBinary(ServerReflectionRequestSchema, made)));
    }
    stream.end();
    const { status, messages } = await answer;
    expect(status).toBe(0);
    const replies = messages.map(
      (message) => fromBinary(ServerReflectionResponseSchema, message).messageResponse,
    );
    expect(replies[0]).toMatchObject({
      value: {
        service: expect.arrayContaining([
          { $typeName: expect.any(String), name: 'inference.GRPCInferenceService' },
        ]),
      },
    });
    expect(replies[1]?.case).toBe('fileDescriptorResponse');
    expect(replies[2]).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
  });
});

test('a stop lets calls in hand end, tells those who watch and refuses new calls', async () => {
  const other = await startServing({ MILLRACE_HOSTS_PER_MODEL: '1' });
  const caller = connectGrpc(other.grpc);
  await other.registry.add('spinner', fixture('spinner'));
  expect(await caller.call(INFER, spin(1))).toMatchObject({ status: 0 });
  const watch = caller.open(WATCH);
  watch.stream.end(framed(Buffer.alloc(0)));
  await new Promise((resolve) => watch.stream.once('data', resolve));
  const long = caller.call(INFER, spin(LONG_TURNS / 10));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const stopped = other.stop();
  expect(await long).toMatchObject({ status: 0 });
  const { status, messages } = await watch.answer;
  expect(status).toBe(0);
  expect(messages.map((message) => fromBinary(HealthCheckResponseSchema, message).status)).toEqual([1, 2]);
  await stopped;
  const late = connectGrpc(other.grpc);
  await expect(late.call(INFER, spin(1))).rejects.toThrow(/ECONNREFUSED/);
  caller.close();
}, 30_000);
