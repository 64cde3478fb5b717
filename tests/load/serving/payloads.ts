import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cell } from './cells.ts';
import type { BenchModel } from './models.ts';

/**
 * How a server wants its requests: Open Inference Protocol as JSON or with binary tensors, the bare tensor as octets,
 * or BentoML's nested lists.
 */
export type Dialect = 'v2-json' | 'v2-binary' | 'octets' | 'bento-json';

/** Where and how a server takes the requests of a cell. */
export type Endpoint = { dialect: Dialect; path: (model: string) => string };

/** One request and the float32 values that the answer must hold. */
export type Payload = { headers: Record<string, string>; body: Buffer; expected: Float32Array };

const HEADER_LENGTH = 'inference-header-content-length';
const DIGITS_MIN = 6;
const DIGITS_MAX = 9;
const texts = new WeakMap<Float32Array, string>();

/** The requests of a cell: one for each row of the model, or as many rows from there on as the cell asks for. */
export function payloadsOf(cell: Pick<Cell, 'rows'>, model: BenchModel, dialect: Dialect): Payload[] {
  return model.rows.map((_, first) => {
    const taken = Array.from({ length: cell.rows }, (_, i) => (first + i) % model.rows.length);
    const pick = (from: readonly Float32Array[]): Float32Array[] =>
      taken.map((at) => from[at] as Float32Array);
    return { ...encode(model, pick(model.rows), dialect), expected: join32(pick(model.answers)) };
  });
}

function encode(
  model: BenchModel,
  rows: readonly Float32Array[],
  dialect: Dialect,
): Pick<Payload, 'headers' | 'body'> {
  const shape = [rows.length, ...model.shape];
  const json = { 'content-type': 'application/json' };
  const octets = { 'content-type': 'application/octet-stream' };
  const input = { name: model.input, shape, datatype: 'FP32' };
  switch (dialect) {
    case 'v2-json': {
      const head = JSON.stringify(input).slice(0, -1);
      return {
        headers: json,
        body: Buffer.from(
          `{"inputs":[${head},"data":[${rows.map(numbers).join(',')}]}],"outputs":[{"name":"${model.output}"}]}`,
        ),
      };
    }
    case 'bento-json':
      return {
        headers: json,
        body: Buffer.from(
          `{"inputs":[${rows.map((row) => nested(numbers(row).split(','), model.shape)).join(',')}]}`,
        ),
      };
    case 'octets':
      return { headers: octets, body: bytesOf(rows) };
    case 'v2-binary': {
      const tensor = bytesOf(rows);
      const head = JSON.stringify({
        inputs: [{ ...input, parameters: { binary_data_size: tensor.length } }],
        outputs: [{ name: model.output, parameters: { binary_data: true } }],
      });
      return {
        headers: { ...octets, [HEADER_LENGTH]: String(Buffer.byteLength(head)) },
        body: Buffer.concat([Buffer.from(head), tensor]),
      };
    }
  }
}

/** The last output of an answer, as float32 values. */
export function readAnswer(dialect: Dialect, headers: Headers, body: Buffer): Float32Array {
  if (dialect === 'octets') return fromBytes(body);
  if (dialect === 'bento-json') return Float32Array.from(JSON.parse(body.toString()).flat(Infinity));
  const length = headers.get(HEADER_LENGTH);
  if (length !== null) return fromBytes(body.subarray(Number(length)));
  const { outputs } = JSON.parse(body.toString()) as { outputs: { data: number[] }[] };
  return Float32Array.from((outputs.at(-1)?.data ?? []).flat(Number.POSITIVE_INFINITY) as number[]);
}

/** Writes each request whole, head and body, as the load clients send it; returns the folder. */
export function writeRequests(
  folder: string,
  target: { host: string; path: string; headers: Record<string, string> },
  payloads: readonly Pick<Payload, 'headers' | 'body'>[],
): string {
  mkdirSync(folder, { recursive: true });
  payloads.forEach(({ headers, body }, i) => {
    const lines = Object.entries({ ...target.headers, ...headers, 'content-length': String(body.length) });
    const head = [
      `POST ${target.path} HTTP/1.1`,
      `host: ${target.host}`,
      ...lines.map((line) => line.join(': ')),
    ];
    writeFileSync(
      join(folder, `${i}.http`),
      Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]),
    );
  });
  return folder;
}

/** Shortest decimals that give the same float32 again, as a client's JSON carries them. */
function numbers(row: Float32Array): string {
  const known = texts.get(row);
  if (known !== undefined) return known;
  const text = Array.from(row, shortest).join(',');
  texts.set(row, text);
  return text;
}

function shortest(value: number): string {
  for (let digits = DIGITS_MIN; digits < DIGITS_MAX; digits += 1) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value) return text;
  }
  return String(value);
}

function nested(values: readonly string[], shape: readonly number[]): string {
  const [size = 1, ...inner] = shape;
  if (inner.length === 0) return `[${values.join(',')}]`;
  const width = values.length / size;
  return `[${Array.from({ length: size }, (_, i) => nested(values.slice(i * width, (i + 1) * width), inner)).join(',')}]`;
}

function bytesOf(rows: readonly Float32Array[]): Buffer {
  return Buffer.concat(rows.map((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength)));
}

function fromBytes(body: Buffer): Float32Array {
  return new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.length));
}

function join32(rows: readonly Float32Array[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => [...row]));
}
