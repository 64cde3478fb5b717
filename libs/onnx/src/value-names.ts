import type { GraphProto, ModelProto, NodeProto } from './generated/onnx_pb.ts';
import { subgraphsOf } from './graph-walk.ts';
import { invalidModel, quote } from './tensor-data.ts';

/** The values a node may read: those of its own list so far, then those of the graphs around it. */
type Scope = { readonly names: Set<string>; readonly outer: Scope | undefined };

/**
 * Checks that every value is given once and before it is read (so there is no cycle), in the main graph, its
 * subgraphs and the local functions. Throws `invalid_model` naming the value.
 */
export function checkValueNames(model: ModelProto): void {
  if (model.graph !== undefined) checkGraph(model.graph, undefined);
  for (const body of model.functions) {
    const scope: Scope = { names: new Set(), outer: undefined };
    for (const name of body.input) define(scope, name, 'an input');
    checkNodes(body.node, scope);
    for (const name of body.output) requireValue(scope, name, `the function ${quote(body.name)}`);
  }
}

function checkGraph(graph: GraphProto, outer: Scope | undefined): void {
  const scope: Scope = { names: new Set(), outer };
  for (const input of graph.input) define(scope, input.name, 'an input');
  const initialisers = new Set<string>();
  const named = [...graph.initializer, ...graph.sparseInitializer.flatMap((sparse) => sparse.values ?? [])];
  for (const { name } of named) {
    if (name === '' || initialisers.has(name))
      throw invalidModel(`The model has the initialiser ${quote(name)} twice.`);
    initialisers.add(name);
    // An input may have an initialiser as its default.
    scope.names.add(name);
  }
  checkNodes(graph.node, scope);
  const outputs = new Set<string>();
  for (const { name } of graph.output) {
    if (outputs.has(name)) throw invalidModel(`The model has the output ${quote(name)} twice.`);
    outputs.add(name);
    requireValue(scope, name, 'the outputs');
  }
}

function checkNodes(nodes: readonly NodeProto[], scope: Scope): void {
  for (const node of nodes) {
    const label = `the node ${quote(node.name || node.opType)}`;
    for (const name of node.input) if (name !== '') requireValue(scope, name, label);
    for (const graph of subgraphsOf(node)) checkGraph(graph, scope);
    for (const name of node.output) if (name !== '') define(scope, name, `an output of ${label}`);
  }
}

function define(scope: Scope, name: string, as: string): void {
  if (name === '') throw invalidModel(`The model has ${as} without a name.`);
  if (scope.names.has(name)) throw invalidModel(`The model gives the value ${quote(name)} twice.`);
  scope.names.add(name);
}

function requireValue(scope: Scope, name: string, reader: string): void {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) if (at.names.has(name)) return;
  throw invalidModel(
    `The value ${quote(name)} is read by ${reader} before anything gives it: an initialiser or node is missing or in a cycle.`,
  );
}
