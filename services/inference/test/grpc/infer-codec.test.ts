import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { AppError } from '@millrace/contracts';
import { isLongRun } from '@millrace/testing';
import fc from 'fast-check';
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from '../../src/grpc/generated/inference/v2/grpc_inference_service_pb.ts';
import { readInputs } from '../../src/grpc/infer/infer-inputs.ts';
import { rawTensorOffset, readInferRequest } from '../../src/grpc/infer/infer-request.ts';
import { writeInferResponse } from '../../src/grpc/infer/infer-response.ts';
import type { DType } from '../../src/tensors/dtype.ts';
import { allocate, protocolName } from '../../src/tensors/dtype.ts';
import type { ModelSignature, Tensor } from '../../src/tensors/tensor.ts';

const RUNS = isLongRun ? 100_000 : 400;
const PREFIX_BYTES = 5;

const parameter = fc.oneof(
  fc.boolean().map((value) => ({ case: 'boolParam' as const, value })),
  fc.bigInt({ min: -(2n ** 53n) + 1n, max: 2n ** 53n - 1n }).map((value) => ({
    case: 'int64Param' as const,
    value,
  })),
  fc.string().map((value) => ({ case: 'stringParam' as const, value })),
  fc.double({ noNaN: true }).map((value) => ({ case: 'doubleParam' as const, value })),
  fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }).map((value) => ({ case: 'uint64Param' as const, value })),
);
const parameters = fc.dictionary(
  fc.string(),
  parameter.map((parameterChoice) => ({ parameterChoice })),
  { maxKeys: 4 },
);
const bytes = fc.uint8Array({ maxLength: 300 });
const request = fc.record({
  modelName: fc.string(),
  modelVersion: fc.string(),
  id: fc.string(),
  parameters,
  inputs: fc.array(
    fc.record({
      name: fc.string(),
      datatype: fc.string(),
      shape: fc.array(fc.bigInt({ min: -(2n ** 53n) + 1n, max: 2n ** 53n - 1n }), { maxLength: 6 }),
      parameters,
      contents: fc.option(
        fc.record({ int64Contents: fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })) }),
        {
          nil: undefined,
        },
      ),
    }),
    { maxLength: 4 },
  ),
  outputs: fc.array(fc.record({ name: fc.string(), parameters }), { maxLength: 4 }),
  rawInputContents: fc.array(bytes, { maxLength: 4 }),
});

function plain(given: ReadonlyMap<string, unknown> | undefined): object {
  return Object.fromEntries(given ?? []);
}

function plainParameters(given: Record<string, { parameterChoice: { value?: unknown } }>): object {
  return Object.fromEntries(
    Object.entries(given).map(
      ([
        key,
        {
          parameterChoice: { value },
        },
      ]) => [key, typeof value === 'bigint' ? Number(value) : value],
    ),
  );
}

const NUMERIC: Exclude<DType, 'string' | 'float16'>[] = [
  'bool',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'float32',
  'float64',
];

/** A tensor of any type, with any bits but those of NaN and infinity, and texts without the NUL that is refused. */
const tensor: fc.Arbitrary<Tensor> = fc
  .record({ rows: fc.integer({ min: 1, max: 5 }), columns: fc.integer({ min: 1, max: 12 }), seed: bytes })
  .chain(({ rows, columns, seed }) =>
    fc.constantFrom<DType>(...NUMERIC, 'string').chain((dtype): fc.Arbitrary<Tensor> => {
      const shape = [rows, columns];
      const count = rows * columns;
      if (dtype === 'string') {
        return fc
          .array(
            fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')),
            { minLength: count, maxLength: count },
          )
          .map((data) => ({ name: 'x', dtype, shape, data }));
      }
      const data = allocate(dtype, count);
      const view = new Uint8Array(data.buffer);
      for (let i = 0; i < view.length; i += 1)
        view[i] = seed.length === 0 ? i : (seed[i % seed.length] as number);
      if (dtype === 'bool') for (let i = 0; i < count; i += 1) data[i] = (view[i] as number) & 1;
      if (dtype === 'float32' || dtype === 'float64')
        for (let i = 0; i < count; i += 1) if (!Number.isFinite(data[i] as number)) data[i] = i;
      return fc.constant({ name: 'x', dtype, shape, data } as Tensor);
    }),
  );

function signatureOf({ name, dtype }: Tensor): ModelSignature {
  return { inputs: [{ name, dtype, shape: [null, null] }], outputs: [] };
}

/** A request that carries the tensors of an answer back. */
function sendBack(answer: Buffer): Buffer {
  const { outputs, rawOutputContents } = fromBinary(ModelInferResponseSchema, answer);
  return Buffer.from(
    toBinary(
      ModelInferRequestSchema,
      create(ModelInferRequestSchema, {
        inputs: outputs.map(({ name, datatype, shape, contents }) => ({
          name,
          datatype,
          shape,
          ...(contents !== undefined && { contents }),
        })),
        rawInputContents: rawOutputContents,
      }),
    ),
  );
}

describe('a ModelInferRequest', () => {
  test('is read as the generated reader reads it', () => {
    fc.assert(
      fc.property(request, (made) => {
        const message = Buffer.from(
          toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, made as never)),
        );
        const expected = fromBinary(ModelInferRequestSchema, message);
        const read = readInferRequest(message);
        expect(read).toMatchObject({
          model: expected.modelName,
          version: expected.modelVersion,
          id: expected.id,
        });
        expect(plain(read.parameters)).toEqual(plainParameters(expected.parameters));
        expect(read.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }))).toEqual(
          expected.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(Number) })),
        );
        expect(read.inputs.map((input) => plain(input.parameters))).toEqual(
          expected.inputs.map((input) => plainParameters(input.parameters)),
        );
        expect(read.inputs.map(({ contents }) => contents !== undefined)).toEqual(
          expected.inputs.map(({ contents }) => contents !== undefined),
        );
        expect(read.outputs.map((output) => [output.name, plain(output.parameters)])).toEqual(
          expected.outputs.map((output) => [output.name, plainParameters(output.parameters)]),
        );
        expect(read.raw.map((raw) => raw.toString('hex'))).toEqual(
          expected.rawInputContents.map((raw) => Buffer.from(raw).toString('hex')),
        );
        const [first] = read.raw;
        const offset = first === undefined ? 0 : first.byteOffset - message.byteOffset;
        expect(rawTensorOffset(message)).toBe(offset);
      }),
      { numRuns: RUNS },
    );
  });

  test('that is not valid is refused, whatever its bytes are', () => {
    fc.assert(
      fc.property(
        request,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat(),
        (made, changes, cut) => {
          const message = Buffer.from(
            toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, made as never)),
          );
          for (const [at, value] of changes) if (message.length > 0) message[at % message.length] = value;
          const broken = message.subarray(0, message.length === 0 ? 0 : cut % (message.length + 1));
          rawTensorOffset(broken);
          try {
            const read = readInferRequest(broken);
            const [input] = read.inputs;
            const signature = signatureOf({
              name: input?.name ?? 'x',
              dtype: 'int64',
              shape: [],
              data: new BigInt64Array(),
            });
            readInputs(broken, read, signature);
          } catch (error) {
            expect(error).toBeInstanceOf(AppError);
            expect((error as AppError).status).toBe(400);
          }
        },
      ),
      { numRuns: RUNS * 4 },
    );
  });
});

describe('a ModelInferResponse', () => {
  test.each([false, true])('comes back to the bit, raw: %s', (isRaw) => {
    fc.assert(
      fc.property(fc.array(tensor, { minLength: 1, maxLength: 1 }), fc.string(), (outputs, id) => {
        const head = { model: 'modèle', ordinal: 300, id };
        const framed = writeInferResponse(head, outputs, { isRaw, isStreamed: false });
        const answer = framed.subarray(PREFIX_BYTES);
        expect(framed.readUInt32BE(1)).toBe(answer.length);
        expect(fromBinary(ModelInferResponseSchema, answer)).toMatchObject({
          modelName: 'modèle',
          modelVersion: '300',
          id,
          outputs: outputs.map(({ name, dtype, shape }) => ({
            name,
            datatype: protocolName(dtype),
            shape: shape.map(BigInt),
          })),
        });
        const message = sendBack(answer);
        const [output] = outputs as [Tensor];
        expect(readInputs(message, readInferRequest(message), signatureOf(output))).toEqual(outputs);
        const streamed = writeInferResponse(head, outputs, { isRaw, isStreamed: true });
        const { inferResponse } = fromBinary(ModelStreamInferResponseSchema, streamed.subarray(PREFIX_BYTES));
        expect(inferResponse).toEqual(fromBinary(ModelInferResponseSchema, answer));
      }),
      { numRuns: RUNS },
    );
  });

  test('with a half precision output goes raw', () => {
    const half: Tensor = { name: 'x', dtype: 'float16', shape: [1], data: new Uint16Array([0x3800]) };
    const framed = writeInferResponse({ model: 'm', ordinal: 1, id: '' }, [half], {
      isRaw: false,
      isStreamed: false,
    });
    const { rawOutputContents } = fromBinary(ModelInferResponseSchema, framed.subarray(PREFIX_BYTES));
    expect(rawOutputContents).toEqual([new Uint8Array([0, 0x38])]);
  });
});
