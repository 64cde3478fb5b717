import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import type { Source } from './part-sender.ts';

const MIB = 1024 * 1024;
const MODEL = readFileSync(new URL('../fixtures/model.onnx', import.meta.url));
/** Model.graph, Graph.initializer, Tensor.raw_data: fields of messages and bytes. */
const [GRAPH, INITIALISER, RAW_DATA] = [7, 5, 9];

/** The head of a field of so many bytes. */
function fieldHead(number: number, sizeBytes: number): Buffer {
  const head = [(number << 3) | 2];
  let rest = sizeBytes;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) head.push((rest % 128) | 0x80);
  return Buffer.from([...head, rest]);
}

/** The model with one more initialiser: protobuf merges a field that comes twice. */
export function onnxModel(weights: Source): Source {
  const size = fieldHead(1, weights.sizeBytes / 4).subarray(1);
  // dims, data_type float32, name
  const about = Buffer.concat([Buffer.from([0x08]), size, Buffer.from([0x10, 1, 0x42, 1, 0x77])]);
  const raw = Buffer.concat([about, fieldHead(RAW_DATA, weights.sizeBytes)]);
  const tensor = Buffer.concat([fieldHead(INITIALISER, raw.length + weights.sizeBytes), raw]);
  const head = Buffer.concat([MODEL, fieldHead(GRAPH, tensor.length + weights.sizeBytes), tensor]);
  return {
    name: 'model.onnx',
    sizeBytes: head.length + weights.sizeBytes,
    read(start, end) {
      const own = head.subarray(start, end);
      const rest = weights.read(Math.max(0, start - head.length), Math.max(0, end - head.length));
      return Buffer.concat([own, rest]);
    },
  };
}

/** Sends an upload as a form that is read as it goes; `onSent` is told of the bytes of the file so far. */
export async function sendAsForm(
  origin: string,
  fields: Record<string, string>,
  source: Source,
  onSent: (sizeBytes: number) => void = () => undefined,
): Promise<Response> {
  const boundary = 'millrace-large-upload';
  async function* body(): AsyncGenerator<Buffer> {
    for (const [name, value] of Object.entries(fields))
      yield Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      );
    yield Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${source.name}"\r\n\r\n`,
    );
    for (let at = 0; at < source.sizeBytes; at += MIB) {
      yield source.read(at, Math.min(source.sizeBytes, at + MIB));
      onSent(Math.min(source.sizeBytes, at + MIB));
    }
    yield Buffer.from(`\r\n--${boundary}--\r\n`);
  }
  return await fetch(`${origin}/model/upload`, {
    method: 'POST',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Readable.toWeb(Readable.from(body())) as ReadableStream,
    duplex: 'half',
  } as RequestInit);
}
