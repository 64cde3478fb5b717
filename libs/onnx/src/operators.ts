import { AppError } from '@millrace/contracts/errors';
import type { FunctionProto, ModelProto, NodeProto, OperatorSetIdProto } from './generated/onnx_pb.ts';
import { nodeLists, subgraphsOf } from './graph-walk.ts';
import { opsetMaxOf, runtimeSupport } from './limits.ts';
import { invalidModel, quote } from './tensor-data.ts';
import { tooComplex } from './wire-scan.ts';

/** Most operators named in one message. */
const NAMED_OPERATORS_MAX = 10;
/** Most model-local functions that call one another in a row. */
const CALL_DEPTH_MAX = 100;

/** Throws `unsupported_opset` when the runtime is older than the model. */
export function checkVersions(model: ModelProto): void {
  if (model.irVersion > BigInt(runtimeSupport.irVersionMax)) {
    throw tooNew('IR version', model.irVersion, runtimeSupport.irVersionMax);
  }
  const local = new Set(model.functions.map((body) => body.domain));
  for (const opset of [model.opsetImport, ...model.functions.map((body) => body.opsetImport)].flat()) {
    checkOpset(opset, local);
  }
}

/** Throws `unsupported_operator`, listing the operators of domains that the runtime does not implement. */
export function checkOperators(model: ModelProto): void {
  const local = new Set(model.functions.map(functionKey));
  const unknown = new Set<string>();
  for (const { nodes } of nodeLists(model)) {
    for (const node of nodes) {
      if (opsetMaxOf(node.domain) === undefined && !local.has(callKey(node)))
        unknown.add(`${node.domain}::${node.opType}`);
    }
  }
  if (unknown.size === 0) return;
  const operators = [...unknown].sort().slice(0, NAMED_OPERATORS_MAX);
  const list = operators.map(quote).join(', ');
  throw new AppError(
    'unsupported_operator',
    `${runtimeSupport.name} has no domain for ${list}; export without them.`,
    {
      details: { operators },
    },
  );
}

/** Throws `invalid_model` for functions that call themselves and `model_too_complex` when calls multiply too far. */
export function checkExpansion(model: ModelProto, expandedNodesMax: number): void {
  const bodies = new Map(model.functions.map((body) => [functionKey(body), body]));
  if (bodies.size !== model.functions.length) throw invalidModel('The model defines a function twice.');
  const sizes = new Map<string, number | 'open'>();
  let depth = 0;
  const sizeOf = (nodes: readonly NodeProto[]): number => {
    let total = 0;
    for (const node of nodes) {
      total += 1 + callSize(node) + subgraphsOf(node).reduce((sum, graph) => sum + sizeOf(graph.node), 0);
      if (total > expandedNodesMax)
        throw tooComplex('nodes once its functions are expanded', total, expandedNodesMax);
    }
    return total;
  };
  const callSize = (node: NodeProto): number => {
    const key = callKey(node);
    const body = bodies.get(key);
    if (body === undefined) return 0;
    const known = sizes.get(key);
    if (known === 'open') throw invalidModel(`The function ${quote(body.name)} calls itself.`);
    if (known !== undefined) return known;
    sizes.set(key, 'open');
    depth += 1;
    if (depth > CALL_DEPTH_MAX) throw tooComplex('levels of function calls', depth, CALL_DEPTH_MAX);
    const size = sizeOf(body.node);
    depth -= 1;
    sizes.set(key, size);
    return size;
  };
  for (const body of model.functions) sizeOf(body.node);
  sizeOf(model.graph?.node ?? []);
}

function checkOpset(opset: OperatorSetIdProto, local: ReadonlySet<string>): void {
  const max = opsetMaxOf(opset.domain);
  if (max === undefined || local.has(opset.domain)) return;
  if (opset.version < 1n)
    throw invalidModel(`The model asks for opset ${opset.version}, which does not exist.`);
  if (opset.version > BigInt(max)) throw tooNew(`opset of ${opset.domain || 'ai.onnx'}`, opset.version, max);
}

function tooNew(what: string, found: bigint, max: number): AppError {
  const message = `The model has ${what} ${found}; ${runtimeSupport.name} goes up to ${max}. Export it with ${max} or lower.`;
  return new AppError('unsupported_opset', message, { details: { found: found.toString(), max } });
}

function functionKey(body: FunctionProto): string {
  return JSON.stringify([body.domain, body.name, body.overload]);
}

function callKey(node: NodeProto): string {
  return JSON.stringify([node.domain, node.opType, node.overload]);
}
