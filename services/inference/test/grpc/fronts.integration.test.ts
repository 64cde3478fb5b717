import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  ModelInferRequestSchema,
  ModelStatisticsResponseSchema,
} from '../../src/grpc/generated/inference/v2/grpc_inference_service_pb.ts';
import type { GrpcAnswer, GrpcClient } from '../support/grpc-client.ts';
import { connectGrpc } from '../support/grpc-client.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { startServerProcess } from '../support/server-process.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

const SERVICE = '/inference.GRPCInferenceService';
const CONNECTIONS = 6;
const NAMED = Buffer.from('\x0a\x06shared');

let serving: Serving;
let server: ServerProcess;
let clients: GrpcClient[] = [];

function freePort(): Promise<number> {
  const socket = createServer();
  return new Promise((resolve) => {
    socket.listen(0, '127.0.0.1', () => {
      const { port } = socket.address() as AddressInfo;
      socket.close(() => resolve(port));
    });
  });
}

beforeAll(async () => {
  serving = await startServing();
  await serving.registry.add('shared', fixture('classifier'));
  const port = await freePort();
  server = await startServerProcess({ ...serving.environment, MILLRACE_GRPC_PORT: String(port) }, 2);
  clients = Array.from({ length: CONNECTIONS }, () => connectGrpc(`127.0.0.1:${port}`));
}, 60_000);

afterAll(async () => {
  for (const client of clients) client.close();
  await server?.stop();
  await serving?.stop();
}, 40_000);

function inferOnEach(): Promise<GrpcAnswer[]> {
  const contents = { fp32Contents: ROW };
  const inputs = [{ name: 'float_input', datatype: 'FP32', shape: [1n, 10n], contents }];
  const request = create(ModelInferRequestSchema, { modelName: 'shared', inputs });
  const message = toBinary(ModelInferRequestSchema, request);
  return Promise.all(clients.map((client) => client.call(`${SERVICE}/ModelInfer`, message)));
}

test('connections are shared out among the fronts, and each answer speaks for the server', async () => {
  for (const { status } of await inferOnEach()) expect(status).toBe(0);
  const answers = await Promise.all(
    clients.map((client) => client.call(`${SERVICE}/ModelStatistics`, NAMED)),
  );
  for (const { messages } of answers) {
    const { modelStats } = fromBinary(ModelStatisticsResponseSchema, messages[0] as Buffer);
    expect(modelStats.map(({ inferenceCount }) => Number(inferenceCount))).toEqual([CONNECTIONS]);
  }
  const [first] = clients as [GrpcClient];
  expect(await first.call(`${SERVICE}/RepositoryModelUnload`, NAMED)).toMatchObject({ status: 0 });
  for (const answer of await inferOnEach())
    expect(answer).toMatchObject({ status: 14, code: 'model_not_ready' });
  expect(await first.call(`${SERVICE}/RepositoryModelLoad`, NAMED)).toMatchObject({ status: 0 });
  for (const { status } of await inferOnEach()) expect(status).toBe(0);
});
