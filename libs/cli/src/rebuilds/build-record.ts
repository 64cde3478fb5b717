import { AppError } from '@millrace/contracts';
import type { PackageStatements, Statement } from '@millrace/integrity';
import { buildTypeOf, isSha256 } from '@millrace/integrity';

/** Kind of build that can be made again: a pipeline's training and conversion. */
const TRAINED = 'urn:millrace:build:train-and-convert:v1';
const DATASET_VERSION = /^urn:millrace:dataset-version:([0-9a-f-]{36})$/;

/**
 * The three digests that name what a training and its conversion made; `graph` is that of the frozen graph, or of the
 * architecture where weights were handed over.
 */
export type BuiltDigests = { readonly weights: string; readonly graph: string; readonly onnx: string };

/** Where and by what a model was built: each part can change its last bits. Undefined where nobody recorded it. */
export type Conditions = {
  readonly cpu: string | undefined;
  readonly machineClass: string | undefined;
  readonly threads: string | undefined;
  readonly trainingEnvironment: string | undefined;
  readonly conversionEnvironment: string | undefined;
  readonly recipeCode: string | undefined;
};

/** What the signed statements of a version say about how to build it again. */
export type BuildRecord = {
  readonly recipe: string;
  readonly params: Record<string, unknown>;
  readonly dataset: { readonly versionId: string; readonly digest: string };
  readonly conversion: { opset?: number; tag?: string; signature?: string; tolerance?: number };
  readonly digests: BuiltDigests;
  readonly conditions: Conditions;
};

type Json = Readonly<Record<string, unknown>>;

/** Reads verified statements. Throws `invalid_request` for a version that was not trained here, or too long ago. */
export function readBuildRecord({ provenance, conversion }: PackageStatements): BuildRecord {
  if (buildTypeOf(provenance) !== TRAINED)
    throw notRebuildable('it was not trained by a pipeline of this platform');
  if (conversion === undefined)
    throw notRebuildable('it was registered before conversions were signed; train it once more');
  const [training, converted] = [readBuild(provenance), readBuild(conversion)];
  if (converted.external.quantization !== undefined)
    throw notRebuildable('it was quantised, and the samples of that are not in its provenance');
  const { recipe, params } = training.external;
  const dataset = training.dependencies.get('dataset');
  const versionId = DATASET_VERSION.exec(String(dataset?.uri))?.[1];
  const digests = {
    weights: digestOf(converted.dependencies.get('weights')),
    graph:
      digestOf(converted.dependencies.get('frozenGraph')) ??
      digestOf(converted.dependencies.get('architecture')),
    onnx: digestOf(conversion.subject.find(({ name }) => name.endsWith('.onnx'))),
  };
  const datasetDigest = digestOf(dataset);
  if (typeof recipe !== 'string' || versionId === undefined || datasetDigest === undefined)
    throw notRebuildable('its provenance lacks the recipe or the dataset');
  const { weights, graph, onnx } = digests;
  if (weights === undefined || graph === undefined || onnx === undefined)
    throw notRebuildable('its provenance lacks the digests of weights and graphs');
  const machine = record(training.internal.machine);
  const { opset, tag, signature } = converted.external;
  const { tolerance } = record(record(converted.byproducts.get('parity')).annotations);
  return {
    recipe,
    params: record(params),
    dataset: { versionId, digest: datasetDigest },
    conversion: {
      ...(typeof opset === 'number' && { opset }),
      ...(typeof tag === 'string' && { tag }),
      ...(typeof signature === 'string' && { signature }),
      ...(typeof tolerance === 'number' && { tolerance }),
    },
    digests: { weights, graph, onnx },
    conditions: {
      ...machineOf(machine),
      trainingEnvironment: digestOf(training.dependencies.get('training-environment')),
      conversionEnvironment: digestOf(converted.dependencies.get('conversion-environment')),
      recipeCode: digestOf(training.dependencies.get('recipe')),
    },
  };
}

/** The conditions of a build as its two jobs report them. */
export function reportedConditions(trainingMeta: Json, conversionMeta: Json): Conditions {
  return {
    ...machineOf(record(trainingMeta.machine)),
    trainingEnvironment: hex(record(trainingMeta.environment).sha256),
    conversionEnvironment: hex(conversionMeta.environmentDigest),
    recipeCode: hex(record(trainingMeta.recipe).sha256),
  };
}

function machineOf(machine: Json): Pick<Conditions, 'cpu' | 'machineClass' | 'threads'> {
  const { intra, inter } = record(machine.threads);
  return {
    cpu: typeof machine.cpu === 'string' ? machine.cpu : undefined,
    machineClass: hex(machine.classDigest),
    threads: typeof intra === 'number' && typeof inter === 'number' ? `${intra}/${inter}` : undefined,
  };
}

function readBuild({ predicate }: Statement) {
  const definition = record(predicate.buildDefinition);
  return {
    external: record(definition.externalParameters),
    internal: record(definition.internalParameters),
    dependencies: byName(definition.resolvedDependencies),
    byproducts: byName(record(predicate.runDetails).byproducts),
  };
}

function byName(list: unknown): ReadonlyMap<string, Json> {
  return new Map((Array.isArray(list) ? list : []).map((one) => [String(record(one).name), record(one)]));
}

const digestOf = (of: { readonly digest?: unknown } | undefined): string | undefined =>
  hex(record(of?.digest).sha256);
const hex = (value: unknown): string | undefined => (isSha256(value) ? value : undefined);
const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};

function notRebuildable(why: string): AppError {
  return new AppError('invalid_request', `The version cannot be built again: ${why}.`);
}
