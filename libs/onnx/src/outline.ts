import type { DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { createFieldReader } from './field-reader.ts';
import { fieldRules } from './field-rules.ts';
import { ModelProtoSchema, TensorProtoSchema } from './generated/onnx_pb.ts';
import type { OnnxLimits } from './limits.ts';
import type { ByteRange, OnnxSegment, OnnxSource } from './source.ts';
import { sourceOf } from './source.ts';
import { MESSAGE_DEPTH_MAX, notOnnx, tooComplex } from './wire-scan.ts';

/** TensorProto.raw_data. */
const RAW_DATA = TensorProtoSchema.field.rawData.number;
/** In an outline raw_data is the number of its range, four bytes little-endian. */
const NUMBER_BYTES = 4;

/** A model file in which each raw_data is the number of a range of the source. */
export type Outline = { readonly bytes: Uint8Array; readonly ranges: readonly ByteRange[] };

/** Puts other bytes in the place of some: `head`, and then a range of the source if there is one. */
type Edit = ByteRange & { readonly head: Uint8Array; readonly range?: ByteRange };
/** What takes the place of raw_data, its length included. */
type Replacement = Omit<Edit, keyof ByteRange>;

/**
 * Reads a model file without the raw data of its tensors, so that memory does not grow with its weights.
 * Throws `not_onnx` for what is no protobuf and `model_too_complex` for what is over a bound.
 */
export function outlineOf(source: OnnxSource, limits: OnnxLimits): Outline {
  const ranges: ByteRange[] = [];
  let outlineBytes = source.sizeBytes;
  const edits = editsOf(source, limits.messagesMax, (range) => {
    const head = Buffer.alloc(1 + NUMBER_BYTES);
    head[0] = NUMBER_BYTES;
    head.writeUInt32LE(ranges.length, 1);
    outlineBytes -= range.end - range.start;
    ranges.push(range);
    return { head };
  });
  if (outlineBytes > limits.outlineBytesMax)
    throw tooComplex('bytes outside of raw tensors', outlineBytes, limits.outlineBytesMax);
  const parts = segments(source, edits) as Uint8Array[];
  return { bytes: Buffer.concat(parts), ranges };
}

/** The file that an outline stands for: bytes, and ranges of the source for the raw data of its tensors. */
export function filledIn({ bytes, ranges }: Outline): OnnxSegment[] {
  const outline = sourceOf(bytes);
  const edits = editsOf(outline, Number.POSITIVE_INFINITY, ({ start, end }) => {
    const range = rangeOf(bytes.subarray(start, end), ranges);
    return { head: varint(range.end - range.start), range };
  });
  return segments(outline, edits);
}

/** The range of the source that a raw_data of an outline stands for. */
export function rangeOf(rawData: Uint8Array, ranges: readonly ByteRange[]): ByteRange {
  const number = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength).getUint32(0, true);
  const range = ranges[number];
  if (range === undefined) throw new Error('An outline names a range that it does not have.');
  return range;
}

/** What replacing each raw_data changes, in the order of the file: that, and the lengths of the messages around it. */
function editsOf(
  source: OnnxSource,
  messagesMax: number,
  replace: (rawData: ByteRange) => Replacement,
): Edit[] {
  const reader = createFieldReader(source);
  const edits: Edit[] = [];
  let messages = 0;

  /** Goes through a message up to `end`; gives by how many bytes it grows. */
  function visit(desc: DescMessage, end: number, depth: number): number {
    messages += 1;
    if (messages > messagesMax) throw tooComplex('messages', messages, messagesMax);
    if (depth > MESSAGE_DEPTH_MAX) throw tooComplex('levels of messages', depth, MESSAGE_DEPTH_MAX);
    const rules = fieldRules(desc);
    let growth = 0;
    while (reader.at() < end) {
      const { number, wireType, lengthAt } = reader.tag();
      if (wireType !== WireType.LengthDelimited) {
        reader.skip(wireType);
        continue;
      }
      const length = reader.varint();
      const start = reader.at();
      if (start + length > end) throw notOnnx(`a field runs past the end of its ${desc.name}`);
      const message = rules.get(number)?.message;
      if (message !== undefined) growth += visitInner(message, { lengthAt, start, length }, depth + 1);
      else if (length > 0 && desc === TensorProtoSchema && number === RAW_DATA) {
        const edit = { start: lengthAt, end: start + length, ...replace({ start, end: start + length }) };
        edits.push(edit);
        growth += sizeOf(edit) - (edit.end - edit.start);
      }
      reader.moveTo(start + length);
    }
    if (reader.at() > end) throw notOnnx(`a field runs past the end of its ${desc.name}`);
    return growth;
  }

  function visitInner(
    desc: DescMessage,
    { lengthAt, start, length }: { lengthAt: number; start: number; length: number },
    depth: number,
  ): number {
    const mine = edits.length;
    edits.push({ start: lengthAt, end: start, head: NOTHING });
    const growth = visit(desc, start + length, depth);
    if (edits.length === mine + 1) {
      edits.pop();
      return 0;
    }
    const head = varint(length + growth);
    edits[mine] = { start: lengthAt, end: start, head };
    return growth + head.length - (start - lengthAt);
  }

  visit(ModelProtoSchema, source.sizeBytes, 0);
  return edits;
}

const NOTHING = new Uint8Array(0);

/** The parts of a file after its edits. */
function segments(base: OnnxSource, edits: readonly Edit[]): OnnxSegment[] {
  const parts: OnnxSegment[] = [];
  let at = 0;
  for (const { start, end, head, range } of edits) {
    if (start > at) parts.push(base.read(at, start));
    parts.push(head);
    if (range !== undefined) parts.push(range);
    at = end;
  }
  if (at < base.sizeBytes) parts.push(base.read(at, base.sizeBytes));
  return parts;
}

function sizeOf({ head, range }: Edit): number {
  return head.length + (range === undefined ? 0 : range.end - range.start);
}

function varint(value: number): Uint8Array {
  return new BinaryWriter().uint32(value).finish();
}
