import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { AppError } from '@millrace/contracts';
import type { ModelSignature, Tensor, TensorSpec } from '../../tensors/tensor.ts';
import { hasBatchAxis, rawBytes } from '../../tensors/tensor.ts';
import { nestedText, valueText } from '../../tensors/tensor-text.ts';
import { npyDescription, writeNpyHead } from '../input/npy-head.ts';
import type { ChunkOrder, ChunkReport } from './chunk-order.ts';

/** Text that is gathered before it is written (bytes). */
const GATHERED_BYTES = 64 * 1024;
/** One part (bytes). */
const PART_BYTES_MAX = 512 * 1024 * 1024;
/** An output with more values is one column of JSON instead of a column for each value. */
const COLUMNS_MAX = 4_096;

/** The outputs of one row; `row` is its number. */
export type PartWriter = {
  add(row: number, outputs: readonly Tensor[]): Promise<void>;
  end(): Promise<Pick<ChunkReport, 'headBytes' | 'npy'>>;
  close(): Promise<void>;
};

/** A file that is written from its beginning to its end. Throws `payload_too_large` over the bound of a part. */
export async function createAppender(path: string) {
  const file: FileHandle = await open(path, 'w', 0o600);
  let gathered: Buffer[] = [];
  let gatheredBytes = 0;
  let writtenBytes = 0;

  async function flush(): Promise<void> {
    const bytes = Buffer.concat(gathered, gatheredBytes);
    gathered = [];
    gatheredBytes = 0;
    let at = 0;
    while (at < bytes.length) at += (await file.write(bytes, at)).bytesWritten;
  }

  return {
    async write(part: string | Buffer): Promise<void> {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part;
      writtenBytes += bytes.length;
      if (writtenBytes > PART_BYTES_MAX) {
        throw new AppError(
          'payload_too_large',
          `The outputs of a chunk have more than ${PART_BYTES_MAX} bytes; submit the job with a lower chunkRows.`,
        );
      }
      gathered.push(bytes);
      gatheredBytes += bytes.length;
      if (gatheredBytes >= GATHERED_BYTES) await flush();
    },
    /** Puts bytes over the beginning of the file. */
    async overwriteFront(bytes: Buffer): Promise<void> {
      await flush();
      await file.write(bytes, 0, bytes.length, 0);
    },
    flush,
    close: () => file.close(),
  };
}
export type Appender = Awaited<ReturnType<typeof createAppender>>;

const csvText = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** How many columns an output has in a CSV file; undefined when it is one column of JSON. */
function csvWidth(spec: TensorSpec, isBatched: boolean): number | undefined {
  const inner = isBatched ? spec.shape.slice(1) : spec.shape;
  const width = inner.reduce<number>((product, size) => product * (size ?? Number.NaN), 1);
  return width >= 1 && width <= COLUMNS_MAX ? width : undefined;
}

function csvCell(tensor: Tensor, at: number): string {
  if (tensor.dtype === 'string') return csvText(tensor.data[at] as string);
  const text = valueText(tensor, at);
  // NaN and Infinity have no JSON form and no number in CSV
  return text === 'null' ? '' : text;
}

async function createCsvWriter(
  file: Appender,
  specs: readonly TensorSpec[],
  isBatched: boolean,
): Promise<PartWriter> {
  const widths = specs.map((spec) => csvWidth(spec, isBatched));
  const names = specs.flatMap(({ name }, i) => {
    const width = widths[i] ?? 1;
    return width === 1 ? [name] : Array.from({ length: width }, (_, k) => `${name}_${k}`);
  });
  const header = `${['row', ...names].map(csvText).join(',')}\n`;
  await file.write(header);
  return {
    add(row, outputs) {
      const cells = outputs.flatMap((tensor, i) => {
        const width = widths[i];
        if (width === undefined) return [csvText(nestedText(tensor))];
        return Array.from({ length: width }, (_, k) => csvCell(tensor, k));
      });
      return file.write(`${row},${cells.join(',')}\n`);
    },
    end: async () => ({ headBytes: Buffer.byteLength(header) }),
    close: file.close,
  };
}

function createJsonWriter(file: Appender): PartWriter {
  return {
    add(row, outputs) {
      const members = outputs.map((tensor) => `${JSON.stringify(tensor.name)}:${nestedText(tensor)}`);
      return file.write(`{"row":${row},"prediction":{${members.join(',')}}}\n`);
    },
    end: async () => ({ headBytes: 0 }),
    close: file.close,
  };
}

async function createNpyWriter(
  file: Appender,
  specs: readonly TensorSpec[],
  isBatched: boolean,
): Promise<PartWriter> {
  const [spec, ...others] = specs as [TensorSpec, ...TensorSpec[]];
  const descr = npyDescription(spec.dtype);
  if (others.length > 0 || descr === undefined) {
    const why =
      descr === undefined
        ? `"${spec.name}" is of strings`
        : `the model gives ${specs.map(({ name }) => name).join(', ')}`;
    throw new AppError(
      'batch_input_invalid',
      `A .npy file holds one output of numbers, and ${why}; name one in output.names or take jsonl or csv.`,
    );
  }
  const head = (rows: number, inner: readonly number[]): Buffer => writeNpyHead(descr, [rows, ...inner]);
  let rows = 0;
  let shape: readonly number[] | undefined;
  const headBytes = head(0, []).length;
  await file.write(head(0, []));
  return {
    async add(row, [output]) {
      const tensor = output as Tensor;
      const inner = isBatched ? tensor.shape.slice(1) : tensor.shape;
      shape ??= inner;
      if (inner.length !== shape.length || inner.some((size, axis) => size !== shape?.[axis])) {
        throw new AppError(
          'batch_input_invalid',
          `Row ${row} gives shape [${inner.join(', ')}] and others [${shape.join(', ')}], which .npy cannot hold; take jsonl.`,
        );
      }
      rows += 1;
      await file.write(Buffer.from(rawBytes(tensor.data as Exclude<Tensor, { dtype: 'string' }>['data'])));
    },
    async end() {
      const fixed = (isBatched ? spec.shape.slice(1) : spec.shape).map((size) => size ?? 0);
      const inner = shape ?? fixed;
      await file.overwriteFront(head(rows, inner));
      return { headBytes, npy: { descr, shape: [...inner] } };
    },
    close: file.close,
  };
}

/** Opens the part of a chunk. Throws `batch_input_invalid` when the model's outputs have no form in it. */
export async function createPartWriter(order: ChunkOrder, signature: ModelSignature): Promise<PartWriter> {
  const { format, names } = order.output;
  const known = signature.outputs.map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new AppError(
      'batch_input_invalid',
      `The model has no output "${unknown}"; it gives ${known.join(', ')}.`,
    );
  const specs = (names ?? known).map(
    (name) => signature.outputs.find((spec) => spec.name === name) as TensorSpec,
  );
  const isBatched = hasBatchAxis(signature);
  const file = await createAppender(order.partPath);
  try {
    const writer =
      format === 'csv'
        ? await createCsvWriter(file, specs, isBatched)
        : format === 'npy'
          ? await createNpyWriter(file, specs, isBatched)
          : createJsonWriter(file);
    return {
      ...writer,
      async end() {
        const ended = await writer.end();
        await file.flush();
        return ended;
      },
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
