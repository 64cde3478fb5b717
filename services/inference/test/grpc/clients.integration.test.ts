import { fileURLToPath } from 'node:url';
import type { DescMessage } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runClient } from '@millrace/testing';
import {
  file_inference_v2_grpc_inference_service,
  GRPCInferenceService,
} from '../../src/grpc/generated/inference/v2/grpc_inference_service_pb.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';

// biome-ignore lint/suspicious/noExplicitAny: what a program printed, read by field
type Report = Record<string, any>;

const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let serving: Serving;

beforeAll(async () => {
  serving = await startServing({
    MILLRACE_PREDICT_BODY_BYTES_MAX: String(MESSAGE_BYTES_MAX),
    MILLRACE_LOADED_MODELS_MAX: '16',
  });
  for (const model of ['classifier', 'moving', 'moving', 'counted'])
    await serving.registry.add(model, fixture('classifier'));
  for (const model of ['echo', 'echo_typed', 'cnn']) await serving.registry.add(model, fixture(model));
});

afterAll(() => serving.stop());

describe('tritonclient.grpc', () => {
  let report: Report;

  beforeAll(async () => {
    report = (await runClient('clients-triton', file('triton_client.py'), [serving.grpc])) as Report;
  }, 120_000);

  test('metadata, readiness and configuration', () => {
    expect(report.about).toMatchObject({
      live: true,
      ready: true,
      modelReady: true,
      labelled: true,
      server: { name: 'millrace', extensions: expect.arrayContaining(['statistics', 'model_repository']) },
      metadata: {
        name: 'classifier',
        versions: ['1'],
        platform: 'onnxruntime_onnx',
        inputs: [{ name: 'float_input', datatype: 'FP32', shape: ['-1', '10'] }],
        outputs: [
          { name: 'output_label', datatype: 'INT64', shape: ['-1'] },
          { name: 'output_probability', datatype: 'FP32', shape: ['-1', '2'] },
        ],
      },
      config: {
        name: 'classifier',
        backend: 'onnxruntime',
        max_batch_size: 100,
        version_policy: { specific: { versions: ['1'] } },
        input: [{ name: 'float_input', data_type: 'TYPE_FP32', dims: ['10'] }],
        instance_group: [{ kind: 'KIND_CPU', count: 1 }],
      },
    });
  });

  test('raw and typed values give the same answer, whole, chosen, compressed or as classes', () => {
    const { raw, typed, ...rest } = report.raw_and_typed as Report;
    expect(raw.output_label).toHaveLength(2);
    expect(typed).toEqual({
      output_label: raw.output_label,
      output_probability: raw.output_probability.flat(),
    });
    expect(rest).toEqual({
      head: ['raw', 'classifier', '1'],
      typedId: 'typed',
      typedHasRaw: 0,
      chosen: { output_probability: raw.output_probability },
      gzip: true,
      deflate: true,
      classes: { output_probability: expect.arrayContaining([expect.stringMatching(/^0\.\d+:[01]$/)]) },
    });
  });

  test('every type comes back to the bit', () => {
    expect(report.echo_raw).toEqual([]);
    expect(report.echo_typed).toEqual([]);
  });

  test.each([
    ['wrong shape', 'INVALID_ARGUMENT', undefined],
    ['wrong type', 'INVALID_ARGUMENT', undefined],
    ['wrong name', 'INVALID_ARGUMENT', undefined],
    ['no inputs', 'INVALID_ARGUMENT', 'missing_input'],
    ['no model', 'INVALID_ARGUMENT', 'invalid_request'],
    ['unknown model', 'NOT_FOUND', 'model_not_found'],
    ['unknown version', 'NOT_FOUND', 'version_not_found'],
    ['raw and typed', 'INVALID_ARGUMENT', 'invalid_request'],
    ['too few values', 'INVALID_ARGUMENT', 'invalid_shape'],
    ['wrong field', 'INVALID_ARGUMENT', 'invalid_type'],
    ['no values', 'INVALID_ARGUMENT', 'invalid_request'],
    ['too few bytes', 'INVALID_ARGUMENT', 'invalid_shape'],
    ['shape beyond 2^53', 'INVALID_ARGUMENT', 'invalid_shape'],
    ['negative shape', 'INVALID_ARGUMENT', 'invalid_shape'],
    ['NaN', 'INVALID_ARGUMENT', 'not_finite'],
    ['shared memory', 'INVALID_ARGUMENT', 'invalid_request'],
    ['sequence', 'INVALID_ARGUMENT', 'invalid_request'],
    ['wrong parameter', 'INVALID_ARGUMENT', 'invalid_request'],
    ['unknown output', 'INVALID_ARGUMENT', 'invalid_request'],
    ['not protobuf', 'INVALID_ARGUMENT', 'invalid_request'],
    ['a group', 'INVALID_ARGUMENT', 'invalid_request'],
    ['unknown method', 'UNIMPLEMENTED', undefined],
    ['shared memory status', 'UNIMPLEMENTED', undefined],
  ])('%s is %s', (scenario, status, code) => {
    expect((report.bad_requests as Report)[scenario]).toEqual({
      status: `StatusCode.${status}`,
      message: expect.stringMatching(/\.$/),
      ...(code !== undefined && { code }),
    });
  });

  test('20 MB go in one message; what is over the bound is refused by its length', () => {
    expect(report.large).toEqual({
      shape: [33, 1],
      same: true,
      rows: [100],
      over: {
        status: 'StatusCode.RESOURCE_EXHAUSTED',
        message: expect.stringContaining(`at most ${MESSAGE_BYTES_MAX}`),
        code: 'payload_too_large',
      },
    });
  });

  test('a stream answers each of 100 requests, and one that fails stops no other', () => {
    const numbers = Array.from({ length: 100 }, (_, number) => number).filter((number) => number !== 50);
    expect(report.stream).toEqual({
      ids: numbers,
      wrong: [],
      failed: [expect.stringContaining('[2, 9]')],
    });
  });

  test('versions are loaded and unloaded by name and by label', () => {
    expect(report.repository).toMatchObject({
      loaded: { 'moving:2': 'READY' },
      both: { 'moving:2': 'READY' },
      without: { 'moving:2': 'UNAVAILABLE' },
      unloaded: { 'moving:2': 'UNAVAILABLE' },
      refused: { status: 'StatusCode.UNAVAILABLE' },
      answered: '2',
      files: { status: 'StatusCode.INVALID_ARGUMENT' },
      unknown: { status: 'StatusCode.NOT_FOUND' },
    });
  });

  test('statistics count what was answered', () => {
    expect(report.statistics).toMatchObject({
      rows: 6,
      runs: 3,
      success: 3,
      batchSizes: [2],
      memory: true,
      all: true,
      unknown: { status: 'StatusCode.NOT_FOUND' },
    });
    expect((report.statistics as Report).computeNs).toBeGreaterThan(0);
  });

  test('without a key only this machine is answered', () => {
    expect(report.foreign_host).toMatchObject({
      live: true,
      infer: { status: 'StatusCode.PERMISSION_DENIED', code: 'host_not_allowed' },
    });
  });

  test('our messages have the names, numbers and types of the client', () => {
    const { messages, methods } = report.descriptors as Report;
    const file = file_inference_v2_grpc_inference_service;
    const nested = (all: readonly DescMessage[]): DescMessage[] =>
      all.flatMap((message) => [message, ...nested(message.nestedMessages)]);
    for (const message of nested(file.messages)) {
      // KServe's fields, which Triton's clients skip
      if (/^inference\.RepositoryModel(Load|Unload)Response$/.test(message.typeName)) continue;
      for (const { number, name, proto, fieldKind } of message.fields) {
        const isRepeated = fieldKind === 'list' || fieldKind === 'map';
        expect([message.typeName, messages[message.typeName]]).toEqual([
          message.typeName,
          expect.arrayContaining([[number, name, proto.type, isRepeated]]),
        ]);
      }
    }
    for (const { name, input, output, methodKind } of GRPCInferenceService.methods)
      expect([name, ...methods[name]]).toEqual([name, input.name, output.name, methodKind !== 'unary']);
  });
});

describe('kserve.InferenceGRPCClient', () => {
  test('readiness, raw and typed values, errors, loading and unloading', async () => {
    const report = (await runClient('clients-kserve', file('kserve_client.py'), [serving.grpc])) as Report;
    expect(report).toMatchObject({
      live: true,
      ready: true,
      modelReady: true,
      raw: { id: 'kserve', model: 'classifier', version: '1' },
      unknown: ['NOT_FOUND', 'model_not_found'],
      shape: ['INVALID_ARGUMENT', 'invalid_shape'],
      repository: { unload: ['moving', true], load: ['moving', true] },
    });
    expect(report.typed).toEqual(report.raw);
    expect(report.raw.values.output_label).toHaveLength(2);
  }, 120_000);
});
