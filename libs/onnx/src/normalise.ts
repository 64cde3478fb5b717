import { create, toBinary } from '@bufbuild/protobuf';
import { FLOAT } from './data-type.ts';
import { weightsDigestOf } from './digests.ts';
import type { GraphProto, NodeProto, TypeProto } from './generated/onnx_pb.ts';
import {
  ModelProtoSchema,
  NodeProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
} from './generated/onnx_pb.ts';
import { subgraphsOf } from './graph-walk.ts';
import type { OnnxInfo } from './inspect.ts';
import { describe } from './inspect.ts';
import type { OnnxLimits } from './limits.ts';
import { defaultOnnxLimits } from './limits.ts';
import type { OpenModel } from './open-model.ts';
import { openModel } from './open-model.ts';
import { filledIn } from './outline.ts';
import type { OnnxSegment, OnnxSource } from './source.ts';
import { sourceOf } from './source.ts';
import { weightsOf } from './weights.ts';

/** A ZipMap that was taken out: its output is now a tensor whose last axis follows `classes`. */
export type OnnxChange = {
  readonly kind: 'zip_map_removed';
  readonly output: string;
  readonly classes: readonly (string | number)[];
};

/** A model that onnxruntime-node can serve; `bytes` is the very input when nothing had to change. */
export type NormalisedModel = {
  readonly bytes: Uint8Array;
  readonly changes: readonly OnnxChange[];
  readonly info: OnnxInfo;
};

/** A model as it is served: what is known of it and, when something had to change, the parts of the file to serve. */
export type ServableModel = {
  readonly info: OnnxInfo;
  /** Canonical digest of its initialisers, which no change touches. */
  readonly weightsDigest: string;
  readonly changes: readonly OnnxChange[];
  readonly rewritten: readonly OnnxSegment[] | undefined;
};

/**
 * Makes every output of a model a tensor: a ZipMap (the default of skl2onnx's classifiers, a sequence of maps) is
 * removed and its output, of the same name and place, becomes float32 [N, classes]. The same input gives the same
 * bytes. Throws as inspectOnnx does; `unsupported_output` names an output that is not a tensor even so.
 */
export function normaliseForServing(
  bytes: Uint8Array,
  limits: OnnxLimits = defaultOnnxLimits,
): NormalisedModel {
  const { info, changes, rewritten } = normalise(openModel(sourceOf(bytes), limits));
  const part = (segment: OnnxSegment) =>
    segment instanceof Uint8Array ? segment : bytes.subarray(segment.start, segment.end);
  return { bytes: rewritten === undefined ? bytes : Buffer.concat(rewritten.map(part)), changes, info };
}

/** The same of a file that is read in pieces: the raw data of its tensors is never in memory as a whole. */
export function readServable(source: OnnxSource, limits: OnnxLimits = defaultOnnxLimits): ServableModel {
  const open = openModel(source, limits);
  const weightsDigest = weightsDigestOf(weightsOf(open));
  return { weightsDigest, ...normalise(open) };
}

function normalise(open: OpenModel): Omit<ServableModel, 'weightsDigest'> {
  const changes = removeZipMaps(open.graph);
  const info = describe(open);
  if (changes.length === 0) return { info, changes, rewritten: undefined };
  const bytes = toBinary(ModelProtoSchema, open.model);
  return { info, changes, rewritten: filledIn({ bytes, ranges: open.raw.ranges }) };
}

function removeZipMaps(graph: GraphProto): OnnxChange[] {
  const outputs = new Map(graph.output.map((output) => [output.name, output]));
  const producers = new Map(graph.node.flatMap((node) => node.output.map((name) => [name, node] as const)));
  const readers = countReaders(graph, new Map());
  const changes: OnnxChange[] = [];
  graph.node = graph.node.flatMap((node) => {
    const [scores, name] = [node.input[0], node.output[0]];
    const output = outputs.get(name ?? '');
    // A node that reads the maps themselves would break; such a model stays as it is and is refused by its output.
    if (!isZipMap(node) || scores === undefined || output === undefined || readers.get(output.name) !== 1)
      return [node];
    const classes = classesOf(node);
    output.type = scoresType(classes.length);
    changes.push({ kind: 'zip_map_removed', output: output.name, classes });
    const producer = producers.get(scores);
    if (producer === undefined || readers.get(scores) !== 1) {
      // Something else reads the scores too, under their own name.
      const identity = { opType: 'Identity', name: node.name, input: [scores], output: [output.name] };
      return [create(NodeProtoSchema, identity)];
    }
    producer.output = producer.output.map((each) => (each === scores ? output.name : each));
    return [];
  });
  const changed = new Set(changes.map((change) => change.output));
  graph.valueInfo = graph.valueInfo.filter((value) => !changed.has(value.name));
  return changes;
}

function isZipMap(node: NodeProto): boolean {
  return node.opType === 'ZipMap' && node.domain === 'ai.onnx.ml';
}

function classesOf(zipMap: NodeProto): (string | number)[] {
  const classes: (string | number)[] = [];
  for (const attribute of zipMap.attribute) {
    if (attribute.name === 'classlabels_int64s')
      for (const label of attribute.ints) classes.push(Number(label));
    if (attribute.name !== 'classlabels_strings') continue;
    for (const label of attribute.strings) classes.push(Buffer.from(label).toString('utf8'));
  }
  return classes;
}

/** How many nodes (at any depth) and graph outputs read each value. */
function countReaders(graph: GraphProto, counts: Map<string, number>): Map<string, number> {
  const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const output of graph.output) count(output.name);
  for (const node of graph.node) {
    for (const name of node.input) count(name);
    for (const subgraph of subgraphsOf(node)) countReaders(subgraph, counts);
  }
  return counts;
}

function scoresType(classCount: number): TypeProto {
  const rows = create(TensorShapeProto_DimensionSchema, {});
  const columns = create(TensorShapeProto_DimensionSchema, {
    value: { case: 'dimValue', value: BigInt(classCount) },
  });
  const shape = create(TensorShapeProtoSchema, { dim: [rows, columns] });
  const tensor = create(TypeProto_TensorSchema, { elemType: FLOAT, shape });
  return create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } });
}
