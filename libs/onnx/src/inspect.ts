import type { ErrorCode } from '@millrace/contracts';
import { AppError } from '@millrace/contracts/errors';
import type { TensorType } from './data-type.ts';
import { dataTypeOf, isServableType } from './data-type.ts';
import type { TensorShapeProto, TypeProto, ValueInfoProto } from './generated/onnx_pb.ts';
import { nodeLists } from './graph-walk.ts';
import type { OnnxLimits } from './limits.ts';
import { defaultOnnxLimits } from './limits.ts';
import type { OpenModel } from './open-model.ts';
import { openModel } from './open-model.ts';
import { sourceOf } from './source.ts';
import { checkSparse, checkTensor, invalidModel, quote } from './tensor-data.ts';

/** One input or output of a model. */
export type TensorSpec = {
  readonly name: string;
  readonly dtype: TensorType;
  /** Size of each axis, null where it is free; null as a whole when even the number of axes is open. */
  readonly shape: readonly (number | null)[] | null;
  /** Name of each free axis as the model gives it (axes of one name have one size), else null. */
  readonly axisNames: readonly (string | null)[] | null;
};

/** What is known of a model from its file alone. */
export type OnnxInfo = {
  readonly irVersion: number;
  /** Highest opset per operator domain; the standard domain is `ai.onnx`. */
  readonly opsets: Readonly<Record<string, number>>;
  /** Inputs that a caller must give: those without a default value. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Nodes, those of subgraphs and local functions included. */
  readonly nodeCount: number;
  /** Bytes of all initialisers of the main graph. */
  readonly initialisersBytes: number;
  readonly producer: { readonly name: string; readonly version: string };
  readonly metadata: Readonly<Record<string, string>>;
};

/**
 * Reads and checks an ONNX file; nothing is executed. Besides the errors of the structure (`not_onnx`,
 * `model_too_large`, `model_too_complex`, `invalid_model`, `external_data_path`, `unsupported_opset`,
 * `unsupported_operator`) it throws `unsupported_input` and `unsupported_output` for what is not a servable tensor.
 */
export function inspectOnnx(bytes: Uint8Array, limits: OnnxLimits = defaultOnnxLimits): OnnxInfo {
  return describe(openModel(sourceOf(bytes), limits));
}

/** The info of a model that is open; throws `unsupported_input` and `unsupported_output` as inspectOnnx does. */
export function describe({ model, graph, raw }: OpenModel): OnnxInfo {
  const sparse = graph.sparseInitializer.map((tensor) => tensor.values?.name ?? '');
  const defaults = new Set([...graph.initializer.map((tensor) => tensor.name), ...sparse]);
  const inputs = graph.input.filter((input) => !defaults.has(input.name));
  if (graph.output.length === 0) throw invalidModel('The model has no output.');
  return {
    irVersion: Number(model.irVersion),
    opsets: opsetsOf(model.opsetImport),
    inputs: inputs.map((input) => tensorSpec(input, 'unsupported_input')),
    outputs: graph.output.map((output) => tensorSpec(output, 'unsupported_output')),
    nodeCount: [...nodeLists(model)].reduce((sum, list) => sum + list.nodes.length, 0),
    initialisersBytes:
      graph.initializer.reduce((sum, tensor) => sum + checkTensor(tensor, raw), 0) +
      graph.sparseInitializer.reduce((sum, tensor) => sum + checkSparse(tensor, raw), 0),
    producer: { name: model.producerName, version: model.producerVersion },
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
  };
}

function opsetsOf(imports: readonly { domain: string; version: bigint }[]): Record<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of imports) {
    const name = domain || 'ai.onnx';
    opsets.set(name, Math.max(opsets.get(name) ?? 0, Number(version)));
  }
  return Object.fromEntries(opsets);
}

function tensorSpec(value: ValueInfoProto, code: ErrorCode): TensorSpec {
  const kind = code === 'unsupported_input' ? 'input' : 'output';
  const type = value.type?.value;
  if (type?.case !== 'tensorType')
    throw unsupported(code, `${kind} ${quote(value.name)} is ${typeText(value.type)}`);
  const dtype = dataTypeOf(type.value.elemType)?.name ?? `type ${type.value.elemType}`;
  if (!isServableType(dtype))
    throw unsupported(code, `${kind} ${quote(value.name)} has elements of ${dtype}`);
  return { name: value.name, dtype, ...shapeOf(type.value.shape, `${kind} ${quote(value.name)}`) };
}

function shapeOf(
  shape: TensorShapeProto | undefined,
  label: string,
): Pick<TensorSpec, 'shape' | 'axisNames'> {
  if (shape === undefined) return { shape: null, axisNames: null };
  const sizes = shape.dim.map(({ value }) => {
    if (value.case !== 'dimValue') return null;
    // Older exporters write -1 (and some 0) for a free batch axis.
    if (value.value <= 0n) return null;
    if (value.value > BigInt(Number.MAX_SAFE_INTEGER))
      throw invalidModel(`The ${label} has an axis too long to count.`);
    return Number(value.value);
  });
  const axisNames = shape.dim.map(({ value }) =>
    value.case === 'dimParam' && value.value !== '' ? value.value : null,
  );
  return { shape: sizes, axisNames };
}

function typeText(type: TypeProto | undefined): string {
  const names = { sequenceType: 'a sequence', mapType: 'a map', optionalType: 'optional' } as const;
  const rest = { sparseTensorType: 'a sparse tensor', opaqueType: 'opaque', tensorType: 'a tensor' } as const;
  const which = type?.value.case;
  return which === undefined ? 'without a type' : { ...names, ...rest }[which];
}

function unsupported(code: ErrorCode, what: string): AppError {
  return new AppError(code, `The ${what}; only dense tensors of numbers, booleans or strings can be served.`);
}
