import type { DType } from '../tensors/dtype.ts';
import { bytesPerElement, viewBytes } from '../tensors/dtype.ts';
import type { ModelSignature, Tensor } from '../tensors/tensor.ts';
import { elementCount, rawBytes } from '../tensors/tensor.ts';
import type { GraphFile, SessionOptions } from './runtime-session.ts';

/**
 * Parent and model host talk by small JSON messages over the process channel. Tensor bytes do not go through it: each
 * side writes them to a slot, an unlinked file in memory that both have open (two copies of 602 kB cost 0.09 ms).
 */
export type HostRequest =
  | { id: number; type: 'load'; graph: GraphFile; options: SessionOptions }
  | { id: number; type: 'run'; slot: number; inputs: TensorRef[]; outputs?: string[] }
  | { id: number; type: 'measure'; limits: JoinLimits }
  | { id: number; type: 'unload' };

export type HostReply =
  | { type: 'ready'; residentBytes: number }
  | { id: number; ok: true; result: LoadReply | RunReply | MeasureReply | null }
  | { id: number; ok: false; code: string; message: string };

export type LoadReply = {
  signature: ModelSignature;
  loadMs: number;
  /** Time and memory of a run may depend on the values. */
  isUnbounded: boolean;
};
export type RunReply = {
  outputs: TensorRef[];
  /** SHA-256 of each input that is large, null of the others. */
  inputDigests: (string | null)[];
  computeMs: number;
  /** When the runtime began, by `machineMs`. */
  startedAtMachineMs: number;
  residentBytes: number;
};
export type MeasureReply = Measurement;

/** How a model may be joined. */
export type JoinLimits = {
  /** How far joined answers may be from single ones (units in the last place). */
  readonly ulpsMax: number;
  /** A single row may be run as a pair where that makes answers the same and takes at most this long (ms); 0 never. */
  readonly pairMsMax: number;
};

/** What a model costs and whether rows may be joined, found by running it. */
export type Measurement = {
  /** Shortest run of one row (ms). */
  rowMs: number;
  /** Shortest run of a full probe batch (ms); null when rows cannot be joined. */
  batchMs: number | null;
  batchRows: number;
  isBatched: boolean;
  /** A single row is run as a pair, without which its last bits would differ from those among others. */
  isPaired: boolean;
  /** Rows of a run whose answers are as near to those alone as asked for, as far as compared; 1 when they are not. */
  rowsJoinedMax: number;
  /** Why rows are joined or not. */
  batchReason: string;
  warmUpMs: number;
  residentBytes: number;
};

/** A tensor whose bytes lie in the slot, or whose strings come along. */
export type TensorRef = { name: string; dtype: DType; shape: number[]; offset: number; strings?: string[] };

/** Reads and writes at a position of a slot. */
export type SlotFile = {
  write(bytes: Uint8Array, position: number): void;
  read(into: Uint8Array, position: number): void;
};

/** Time on the clock that all processes of the machine share (ms). */
export function machineMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

/** Tensors begin at multiples of this, so that a view of any type is aligned. */
const ALIGNMENT = 8;

/** Writes the tensors one after the other and says where they are. */
export function putTensors(slot: SlotFile, tensors: readonly Tensor[]): TensorRef[] {
  let offset = 0;
  return tensors.map((tensor) => {
    const { name, dtype, shape } = tensor;
    if (tensor.dtype === 'string')
      return { name, dtype, shape: [...shape], offset, strings: [...tensor.data] };
    const ref = { name, dtype, shape: [...shape], offset };
    slot.write(rawBytes(tensor.data), offset);
    offset = Math.ceil((offset + tensor.data.byteLength) / ALIGNMENT) * ALIGNMENT;
    return ref;
  });
}

/** Reads the tensors that `putTensors` of the other side wrote; `scratch` gives the memory for each. */
export function takeTensors(
  slot: SlotFile,
  refs: readonly TensorRef[],
  scratch: (bytes: number) => Uint8Array<ArrayBuffer> = (bytes) => new Uint8Array(bytes),
): Tensor[] {
  return refs.map(({ name, dtype, shape, offset, strings }) => {
    if (dtype === 'string') return { name, dtype, shape, data: strings ?? [] };
    const length = elementCount(shape);
    const bytes = scratch(length * bytesPerElement(dtype));
    slot.read(bytes, offset);
    return { name, dtype, shape, data: viewBytes(dtype, bytes, length) };
  });
}
