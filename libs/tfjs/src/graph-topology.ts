import { AppError } from '@millrace/contracts';
import type { JsonObject } from './json.ts';
import { asList, asObject, asText, invalidModel, isObject, quote } from './json.ts';
import type { TfjsLimits } from './limits.ts';
import { graphOperators } from './supported.ts';
import type { TfjsTensor } from './tensor-spec.ts';
import { dtypeOf } from './tensor-spec.ts';
import { assertCount } from './weights.ts';

export type Topology = {
  readonly inputs: readonly TfjsTensor[];
  readonly outputs: readonly TfjsTensor[];
  /** Operators of a graph, or classes of layers, each once. */
  readonly operators: ReadonlySet<string>;
};

type Node = { readonly name: string; readonly op: string; readonly json: JsonObject };

function readNodes(list: unknown, what: string): Node[] {
  return asList(list, what).map((one) => {
    const json = asObject(one, `A node of ${what}`);
    const name = asText(json.name, `The name of a node of ${what}`);
    return { name, op: asText(json.op, `The operator of node ${quote(name)}`), json };
  });
}

function functionNodes(topology: JsonObject): Node[] {
  if (topology.library === undefined) return [];
  const { function: functions } = asObject(topology.library, 'The library');
  if (functions === undefined) return [];
  return asList(functions, 'The functions of the library').flatMap((one) =>
    readNodes(asObject(one, 'A function').nodeDef ?? [], 'a function'),
  );
}

function assertSupported(operators: ReadonlySet<string>): void {
  const unknown = [...operators].filter((op) => !graphOperators.has(op)).sort();
  if (unknown.length === 0) return;
  throw new AppError(
    'unsupported_operator',
    `The graph has operators that TensorFlow.js does not run: ${unknown.slice(0, 8).map(quote).join(', ')}.`,
  );
}

/** Sizes of a shape in a graph; undefined when even the number of axes is open. */
function shapeOf(value: unknown, name: string): (number | null)[] | undefined {
  if (!isObject(value) || value.unknownRank === true) return undefined;
  return asList(value.dim ?? [], `The shape of ${quote(name)}`).map((dim) => {
    const size = Number(asObject(dim, `An axis of ${quote(name)}`).size ?? 0);
    if (!Number.isSafeInteger(size))
      throw invalidModel(`The shape of ${quote(name)} has a size that is no number.`);
    return size < 0 ? null : size;
  });
}

const bare = (tensor: string): string => tensor.split(':')[0] as string;

type Side = 'inputs' | 'outputs';

function fromSignature(signature: JsonObject, side: Side, nodes: ReadonlyMap<string, Node>): TfjsTensor[] {
  if (signature[side] === undefined) return [];
  const refs = new Set<string>();
  const found: TfjsTensor[] = [];
  for (const [name, value] of Object.entries(asObject(signature[side], `${side} of the signature`))) {
    const entry = asObject(value, `${quote(name)} of the signature`);
    // the runtime fills what an initialiser made
    if (entry.resourceId !== undefined && entry.resourceId !== null) continue;
    const ref = asText(entry.name, `The tensor of ${quote(name)}`);
    if (!nodes.has(bare(ref)))
      throw invalidModel(`The signature names ${quote(ref)}, which the graph has not.`);
    if (side === 'inputs' && refs.has(bare(ref)))
      throw invalidModel(`Two inputs are the node ${quote(ref)}.`);
    refs.add(bare(ref));
    const dtype = dtypeOf(
      String(entry.dtype),
      name,
      side === 'inputs' ? 'unsupported_input' : 'unsupported_output',
    );
    found.push({ name, ref, dtype, shape: shapeOf(entry.tensorShape, name) });
  }
  return found;
}

function placeholders(nodes: readonly Node[]): TfjsTensor[] {
  return nodes
    .filter(({ op }) => op === 'Placeholder')
    .map(({ name, json }) => {
      const attributes = isObject(json.attr) ? json.attr : {};
      const type = isObject(attributes.dtype) ? attributes.dtype.type : undefined;
      const shape = isObject(attributes.shape) ? attributes.shape.shape : undefined;
      const dtype = dtypeOf(String(type), name, 'unsupported_input');
      return { name, ref: name, dtype, shape: shapeOf(shape, name) };
    });
}

/** Nodes that no other node reads: the outputs of a graph without a signature. */
function leaves(nodes: readonly Node[]): TfjsTensor[] {
  const read = new Set<string>();
  for (const { json } of nodes)
    for (const input of Array.isArray(json.input) ? json.input : [])
      read.add(bare(String(input).replace(/^\^/, '')));
  return nodes
    .filter(({ name, op }) => !read.has(name) && op !== 'NoOp' && op !== 'Const' && op !== 'Placeholder')
    .map(({ name }) => ({ name, ref: name, dtype: undefined, shape: undefined }));
}

function assertShaped(inputs: readonly TfjsTensor[]): void {
  const open = inputs.find(({ shape }) => shape === undefined);
  if (open === undefined) return;
  throw new AppError('unsupported_input', `Input ${quote(open.name)} does not say how many axes it has.`);
}

/**
 * Reads the graph of a graph model: what it takes and gives, and its operators.
 * @throws AppError `invalid_model`, `model_too_complex`, `unsupported_operator`, `unsupported_input`, `unsupported_output`
 */
export function readGraph(model: JsonObject, limits: TfjsLimits): Topology {
  const topology = asObject(model.modelTopology, 'modelTopology');
  const nodes = readNodes(topology.node, 'the graph');
  const all = [...nodes, ...functionNodes(topology)];
  assertCount(all.length, limits.nodesMax, 'nodes');
  const byName = new Map(nodes.map((node) => [node.name, node]));
  if (byName.size !== nodes.length) throw invalidModel('Two nodes of the graph have one name.');
  const operators = new Set(all.map(({ op }) => op));
  assertSupported(operators);
  const metadata = isObject(model.userDefinedMetadata) ? model.userDefinedMetadata : {};
  const signature = asObject(model.signature ?? metadata.signature ?? {}, 'The signature');
  const signed = fromSignature(signature, 'inputs', byName);
  const inputs = signed.length > 0 ? signed : placeholders(nodes);
  const named = fromSignature(signature, 'outputs', byName);
  const outputs = named.length > 0 ? named : leaves(nodes);
  if (outputs.length === 0) throw invalidModel('The graph has no output.');
  assertShaped(inputs);
  return { inputs, outputs, operators };
}
