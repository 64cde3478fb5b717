import type { DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { AppError } from '@millrace/contracts/errors';
import type { FieldRule } from './field-rules.ts';
import { fieldRules } from './field-rules.ts';
import { GraphProtoSchema, ModelProtoSchema } from './generated/onnx_pb.ts';
import type { OnnxLimits } from './limits.ts';

type Scan = {
  readonly bytes: Uint8Array;
  readonly reader: BinaryReader;
  readonly limits: OnnxLimits;
  messages: number;
  values: number;
  metadataBytes: number;
};

/** Deepest nesting of messages, the limit of the protobuf library in the runtime. */
export const MESSAGE_DEPTH_MAX = 100;

/**
 * Walks the bytes of a ModelProto without building anything: counts what decoding would allocate, bounds nesting and
 * insists on the wire type of every known field, so that no two parsers can read the file differently.
 * Throws `not_onnx` for bytes that are not a ModelProto and `model_too_complex` for what is over a bound.
 */
export function scanWire(bytes: Uint8Array, limits: OnnxLimits): void {
  const scan: Scan = {
    bytes,
    reader: new BinaryReader(bytes),
    limits,
    messages: 0,
    values: 0,
    metadataBytes: 0,
  };
  scanMessage(scan, ModelProtoSchema, bytes.byteLength, 0, -1);
}

/** The error of bytes that are not an ONNX model; `why` continues "The file is not an ONNX model: ". */
export function notOnnx(why: string, cause?: unknown): AppError {
  return new AppError(
    'not_onnx',
    `The file is not a complete ONNX model: ${why}. Export it again and upload it whole.`,
    {
      cause,
    },
  );
}

/** The error of a model over a bound. */
export function tooComplex(what: string, found: number, max: number): AppError {
  const message = `The model has ${found} ${what}; at most ${max} are accepted.`;
  return new AppError('model_too_complex', message, { details: { what, found, max } });
}

function scanMessage(scan: Scan, desc: DescMessage, end: number, depth: number, graphDepth: number): void {
  scan.messages += 1;
  if (scan.messages > scan.limits.messagesMax)
    throw tooComplex('messages', scan.messages, scan.limits.messagesMax);
  if (depth > MESSAGE_DEPTH_MAX) throw tooComplex('levels of messages', depth, MESSAGE_DEPTH_MAX);
  const level = desc === GraphProtoSchema ? graphDepth + 1 : graphDepth;
  const { controlFlowDepthMax } = scan.limits;
  if (level > controlFlowDepthMax) throw tooComplex('levels of control flow', level, controlFlowDepthMax);
  const rules = fieldRules(desc);
  while (scan.reader.pos < end) {
    const [fieldNo, wireType] = scan.reader.tag();
    const rule = rules.get(fieldNo);
    if (rule?.message !== undefined) {
      const length = enterBytes(scan, desc, fieldNo, wireType, end);
      if (rule.isMetadata) countMetadata(scan, length);
      scanMessage(scan, rule.message, scan.reader.pos + length, depth + 1, level);
    } else {
      scanValue(scan, desc, { fieldNo, wireType, rule, end });
    }
    if (scan.reader.pos > end) throw notOnnx(`a field runs past the end of its ${desc.name}`);
  }
}

function scanValue(
  scan: Scan,
  desc: DescMessage,
  field: { fieldNo: number; wireType: WireType; rule: FieldRule | undefined; end: number },
): void {
  const { fieldNo, wireType, rule, end } = field;
  if (wireType === WireType.StartGroup || wireType === WireType.EndGroup)
    throw notOnnx('it has protobuf groups');
  const isPacked = rule?.packedBytes !== undefined && wireType === WireType.LengthDelimited;
  if (rule !== undefined && !isPacked && wireType !== rule.wireType) {
    throw notOnnx(`field ${fieldNo} of a ${desc.name} has the wrong type`);
  }
  if (isPacked) {
    const length = enterBytes(scan, desc, fieldNo, wireType, end);
    scan.values += packedCount(scan.bytes, scan.reader.pos, length, rule.packedBytes);
    scan.reader.pos += length;
  } else {
    scan.values += 1;
    scan.reader.skip(wireType, fieldNo);
  }
  if (scan.values > scan.limits.valuesMax)
    throw tooComplex('single values', scan.values, scan.limits.valuesMax);
}

function enterBytes(scan: Scan, desc: DescMessage, fieldNo: number, wireType: WireType, end: number): number {
  if (wireType !== WireType.LengthDelimited)
    throw notOnnx(`field ${fieldNo} of a ${desc.name} has the wrong type`);
  const length = scan.reader.uint32();
  if (scan.reader.pos + length > end) throw notOnnx(`a field runs past the end of its ${desc.name}`);
  return length;
}

function packedCount(bytes: Uint8Array, start: number, length: number, packedBytes: number): number {
  if (packedBytes > 0) return Math.ceil(length / packedBytes);
  let count = 0;
  for (let i = start; i < start + length; i += 1) if ((bytes[i] ?? 0) < 0x80) count += 1;
  return count;
}

function countMetadata(scan: Scan, length: number): void {
  scan.metadataBytes += length;
  const { metadataBytesMax } = scan.limits;
  if (scan.metadataBytes > metadataBytesMax)
    throw tooComplex('bytes of metadata', scan.metadataBytes, metadataBytesMax);
}
