import type {
  AttributeProto,
  GraphProto,
  ModelProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
} from './generated/onnx_pb.ts';

/** The graphs inside a node's attributes: branches of If, bodies of Loop and Scan. */
export function subgraphsOf(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) =>
    attribute.g === undefined ? attribute.graphs : [attribute.g, ...attribute.graphs],
  );
}

/** A node list with the opsets that hold for it: the main graph, training graphs, or the body of a local function. */
export type NodeList = { readonly nodes: readonly NodeProto[]; readonly graph: GraphProto | undefined };

/** Every list of nodes of a model, subgraphs included, outermost first. */
export function* nodeLists(model: ModelProto): Generator<NodeList> {
  const graphs = [
    model.graph,
    ...model.trainingInfo.flatMap((info) => [info.initialization, info.algorithm]),
  ];
  for (const graph of graphs) if (graph !== undefined) yield* withSubgraphs({ nodes: graph.node, graph });
  for (const body of model.functions) yield* withSubgraphs({ nodes: body.node, graph: undefined });
}

function* withSubgraphs(list: NodeList): Generator<NodeList> {
  yield list;
  for (const node of list.nodes) {
    for (const graph of subgraphsOf(node)) yield* withSubgraphs({ nodes: graph.node, graph });
  }
}

/** Every dense and sparse tensor of a model, wherever it hides: initialisers, attributes, defaults of functions. */
export function* tensorsOf(model: ModelProto): Generator<TensorProto | SparseTensorProto> {
  for (const { nodes, graph } of nodeLists(model)) {
    if (graph !== undefined) yield* [...graph.initializer, ...graph.sparseInitializer];
    for (const node of nodes) for (const attribute of node.attribute) yield* attributeTensors(attribute);
  }
  for (const body of model.functions)
    for (const attribute of body.attributeProto) yield* attributeTensors(attribute);
}

function* attributeTensors(attribute: AttributeProto): Generator<TensorProto | SparseTensorProto> {
  if (attribute.t !== undefined) yield attribute.t;
  if (attribute.sparseTensor !== undefined) yield attribute.sparseTensor;
  yield* attribute.tensors;
  yield* attribute.sparseTensors;
}
