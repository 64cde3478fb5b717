import { AppError } from '@millrace/contracts';
import { bytesPerElement, viewBytes } from '../../tensors/dtype.ts';
import { assertEnd, objectMembers } from '../../tensors/predict-body.ts';
import { indexNotFinite, readInput, readInputs } from '../../tensors/read-inputs.ts';
import { resolveShape } from '../../tensors/shape.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../../tensors/tensor.ts';
import { hasBatchAxis } from '../../tensors/tensor.ts';
import { notFinite, tensorFromJson } from '../../tensors/tensor-from-json.ts';
import { readCsv, readCsvRecord } from '../input/csv.ts';
import { npyType } from '../input/npy-head.ts';
import { recordsOf } from '../input/record-scanner.ts';
import { bindColumns, bindFields } from './bind-columns.ts';
import type { ChunkOrder } from './chunk-order.ts';

/** Input that is read in one turn of the event loop (bytes), unless a single row has more. */
const PIECE_BYTES_MAX = 256 * 1024;
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;
const WHOLE = /^[-+]?\d{1,20}$/;
const NOT_FINITE = /^[-+]?(nan|inf|infinity)$/i;
const OPEN_ARRAY = 91;

/** One row as the inputs of the model, in its order; throws what is wrong with it. */
export type Row = () => Tensor[];

/** The rows of a chunk, in pieces that each take little time to read. */
export type RowPieces = { count: number; piece(from: number, rowsMax: number): Row[] };

const take = (bytes: number): ArrayBuffer => new ArrayBuffer(bytes);

/** A row must be one: a flat list of twice as many values would be two. */
function assertOneRow(spec: TensorSpec, tensor: Tensor): Tensor {
  if (spec.shape[0] !== null || tensor.shape[0] === 1) return tensor;
  throw new AppError(
    'invalid_shape',
    `The values of input "${spec.name}" make ${tensor.shape[0]} rows instead of one.`,
  );
}

function readText(spec: TensorSpec, text: string): Tensor {
  const bytes = Buffer.from(text);
  const member = { key: spec.name, start: 0, end: bytes.length };
  return assertOneRow(spec, readInput(bytes, member, spec, { elementsMax: bytes.length, take }));
}

/** The text of a cell as a value of JSON; what is not of the type stays a text, which is then refused by its index. */
function cellValue(spec: TensorSpec, cell: string): unknown {
  if (spec.dtype === 'string') return cell;
  const text = cell.trim();
  if (spec.dtype === 'bool') return text === 'true' || text === 'false' ? text === 'true' : text;
  if (NOT_FINITE.test(text)) return Number.NaN;
  if (!NUMBER.test(text)) return text;
  const is64Bit = spec.dtype === 'int64' || spec.dtype === 'uint64';
  return is64Bit && WHOLE.test(text) ? text.replace('+', '') : Number(text);
}

function readCells(spec: TensorSpec, cells: readonly string[]): Tensor {
  const [only = ''] = cells;
  if (cells.length === 1 && spec.dtype !== 'string' && only.trimStart().startsWith('['))
    return readText(spec, only);
  const values = cells.map((cell) => cellValue(spec, cell));
  return assertOneRow(spec, tensorFromJson(spec, values));
}

/** How many of the records from `from` on make a piece. */
function pieceEnd(records: readonly [number, number][], from: number, rowsMax: number): number {
  const [start] = records[from] as [number, number];
  let to = from + 1;
  while (
    to < records.length &&
    to - from < rowsMax &&
    (records[to] as [number, number])[1] - start <= PIECE_BYTES_MAX
  )
    to += 1;
  return to;
}

function csvRows(bytes: Buffer, order: ChunkOrder, signature: ModelSignature): RowPieces {
  const { delimiter, head } = order;
  const records = recordsOf(bytes, { type: 'csv', delimiter: delimiter.charCodeAt(0) });
  const widthOf = (record: readonly string[]) => Array.from(record, (_, i) => String(i + 1));
  const slice = (from: number, to: number): Buffer =>
    bytes.subarray((records[from] as [number, number])[0], (records[to - 1] as [number, number])[1]);
  const columns = head.columns ?? widthOf(records.length === 0 ? [] : readCsvRecord(slice(0, 1), delimiter));
  const isWhole = signature.inputs.length === 1 && order.columns === null;
  const bound = bindColumns(signature, columns, order.columns).map((own) =>
    isWhole && own.length === columns.length
      ? own.map((_, i) => i)
      : own.map((name) => columns.indexOf(name)),
  );

  function readRecord(record: readonly string[]): Tensor[] {
    if (record.length !== columns.length) {
      throw new AppError(
        'batch_input_invalid',
        `The record has ${record.length} fields; there are ${columns.length} columns.`,
      );
    }
    return signature.inputs.map((spec, i) =>
      readCells(
        spec,
        (bound[i] as number[]).map((at) => record[at] as string),
      ),
    );
  }

  /** The records of a piece; undefined when one of them is not CSV. */
  function readPiece(from: number, to: number): string[][] | undefined {
    try {
      const read = readCsv(slice(from, to), delimiter);
      return read.length === to - from ? read : undefined;
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  }

  return {
    count: records.length,
    piece(from, rowsMax) {
      const to = pieceEnd(records, from, rowsMax);
      const read = readPiece(from, to);
      return Array.from({ length: to - from }, (_, i) => () => {
        const record = read?.[i] ?? readCsvRecord(slice(from + i, from + i + 1), delimiter);
        return readRecord(record);
      });
    },
  };
}

function jsonRows(bytes: Buffer, order: ChunkOrder, signature: ModelSignature): RowPieces {
  const records = recordsOf(bytes, { type: 'lines' });
  const fields = bindFields(signature, order.head.columns, order.columns);

  function readFields(line: Buffer, bound: readonly string[][]): Tensor[] {
    const { members, end } = objectMembers(line);
    assertEnd(line, end);
    const texts = new Map(members.map(({ key, start, end: to }) => [key, line.toString('utf8', start, to)]));
    return signature.inputs.map((spec, i) => {
      const own = (bound[i] as string[]).map((name) => {
        const text = texts.get(name);
        if (text === undefined)
          throw new AppError('missing_input', `The field "${name}" for input "${spec.name}" is missing.`);
        return text;
      });
      // joined as text, so that whole numbers keep all digits
      return readText(spec, own.length === 1 ? (own[0] as string) : `[${own.join(',')}]`);
    });
  }

  function readLine(line: Buffer): Tensor[] {
    if (fields !== undefined) return readFields(line, fields);
    const [first] = signature.inputs;
    const start = line.findIndex((c) => c > 32);
    if (line[start] === OPEN_ARRAY && first !== undefined && signature.inputs.length === 1)
      return [readText(first, line.toString('utf8').trim())];
    const { end } = objectMembers(line);
    assertEnd(line, end);
    const tensors = readInputs(line, 0, signature, { elementsMax: line.length, take });
    return tensors.map((tensor, i) => assertOneRow(signature.inputs[i] as TensorSpec, tensor));
  }

  return {
    count: records.length,
    piece(from, rowsMax) {
      const to = pieceEnd(records, from, rowsMax);
      return records.slice(from, to).map(
        ([start, end]) =>
          () =>
            readLine(bytes.subarray(start, end)),
      );
    },
  };
}

function npyRows(bytes: Buffer, order: ChunkOrder, signature: ModelSignature): RowPieces {
  const [spec, ...others] = signature.inputs;
  const { npy } = order.head;
  if (npy === undefined) throw new AppError('internal', 'The form of the array is not known.');
  if (spec === undefined || others.length > 0) {
    throw new AppError(
      'batch_input_invalid',
      `The model has ${signature.inputs.length} inputs and a .npy file holds one; use JSON lines, CSV or Parquet.`,
    );
  }
  const dtype = npyType(npy.descr);
  const inner = npy.shape.slice(1);
  const width = inner.reduce((product, size) => product * size, 1);
  const rowBytes = width * bytesPerElement(dtype);
  const given = hasBatchAxis(signature) || spec.shape[0] === null ? [1, ...inner] : inner;
  const shape = resolveShape(spec, inner.length === 0 ? [1] : given, width);

  function readRow(at: number): Tensor[] {
    const data = viewBytes(dtype, bytes.subarray(at * rowBytes, (at + 1) * rowBytes), width);
    if (dtype !== (spec as TensorSpec).dtype) {
      const values =
        dtype === 'bool'
          ? Array.from(data as Uint8Array, (bit) => bit !== 0)
          : Array.from(data as Float64Array);
      const { data: converted } = tensorFromJson(spec as TensorSpec, values);
      return [
        {
          name: (spec as TensorSpec).name,
          dtype: (spec as TensorSpec).dtype,
          shape,
          data: converted,
        } as Tensor,
      ];
    }
    const tensor = { name: (spec as TensorSpec).name, dtype, shape, data } as Tensor;
    const index = indexNotFinite(tensor);
    if (index >= 0) throw notFinite(spec as TensorSpec, index);
    return [assertOneRow(spec as TensorSpec, tensor)];
  }

  return {
    count: bytes.length / rowBytes,
    piece: (from, rowsMax) => {
      const rows = Math.max(1, Math.min(rowsMax, Math.floor(PIECE_BYTES_MAX / rowBytes)));
      const to = Math.min(bytes.length / rowBytes, from + rows);
      return Array.from({ length: to - from }, (_, i) => () => readRow(from + i));
    },
  };
}

/**
 * The rows of a chunk, by the rules that `/predict` has for values.
 * Throws `batch_input_invalid`, `extra_input`, `missing_input` or `invalid_shape` when no row of it can fit the model.
 */
export function readRows(bytes: Buffer, order: ChunkOrder, signature: ModelSignature): RowPieces {
  if (order.format === 'csv') return csvRows(bytes, order, signature);
  return order.format === 'jsonl' ? jsonRows(bytes, order, signature) : npyRows(bytes, order, signature);
}
