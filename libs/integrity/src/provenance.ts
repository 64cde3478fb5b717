import type { Statement, StatementSubject } from './statement.ts';
import { STATEMENT_TYPE } from './statement.ts';

/** Predicate type of SLSA provenance v1. */
export const PROVENANCE_TYPE = 'https://slsa.dev/provenance/v1';
/** Build type of a conversion: framework in, ONNX out. Its statement stands beside that of the whole build. */
export const CONVERSION_BUILD_TYPE = 'urn:millrace:build:convert:v1';
/** By-product of a build by which its provenance names the statement of the conversion, by the SHA-256 of its payload. */
export const CONVERSION_STATEMENT = 'conversion-statement';
/** Predicate type of a model's meta.json: accuracy, sizes, framework, parameters, use of CPU and memory. */
export const MODEL_META_TYPE = 'urn:millrace:model-meta:v1';

/** An input or by-product of a build (dataset version, recipe, environment lock, report); digest is SHA-256 hex. */
export type ResourceDescriptor = {
  readonly name: string;
  readonly digest?: { readonly sha256: string };
  readonly uri?: string;
  readonly annotations?: Readonly<Record<string, unknown>>;
};

/** What a provenance statement tells of how a model came to be. */
export type Provenance = {
  readonly subjects: readonly StatementSubject[];
  /** A URI that names the kind of build, for example `urn:millrace:build:train:v1`. */
  readonly buildType: string;
  /** What the user chose: recipe, parameters, seed. */
  readonly externalParameters: Readonly<Record<string, unknown>>;
  /** What the platform set: threads, determinism, pool. */
  readonly internalParameters?: Readonly<Record<string, unknown>>;
  readonly resolvedDependencies: readonly ResourceDescriptor[];
  /** A URI that names who built. */
  readonly builderId: string;
  /** The run or job id. */
  readonly invocationId: string;
  /** ISO 8601 instants with zone. */
  readonly startedOn?: string;
  readonly finishedOn?: string;
  readonly byproducts?: readonly ResourceDescriptor[];
};

/** Builds the SLSA provenance v1 statement of a model; sign it with signStatement. */
export function provenanceStatement(from: Provenance): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: from.subjects,
    predicateType: PROVENANCE_TYPE,
    predicate: {
      buildDefinition: {
        buildType: from.buildType,
        externalParameters: from.externalParameters,
        internalParameters: from.internalParameters ?? {},
        resolvedDependencies: from.resolvedDependencies,
      },
      runDetails: {
        builder: { id: from.builderId },
        metadata: { invocationId: from.invocationId, startedOn: from.startedOn, finishedOn: from.finishedOn },
        byproducts: from.byproducts ?? [],
      },
    },
  };
}

/** Builds the statement that carries a model's meta.json, about the digests of the package. */
export function metaStatement(
  subjects: readonly StatementSubject[],
  meta: Readonly<Record<string, unknown>>,
): Statement {
  return { _type: STATEMENT_TYPE, subject: subjects, predicateType: MODEL_META_TYPE, predicate: meta };
}

/** The subjects of an attestation beside a package: its three digests by name. */
export function packageSubjects(digests: {
  packageDigest: string;
  modelDigest: string;
  rootDigest: string;
}): StatementSubject[] {
  return [
    { name: 'package', digest: { sha256: digests.packageDigest } },
    { name: 'model', digest: { sha256: digests.modelDigest } },
    { name: 'openssf-model-signing-root', digest: { sha256: digests.rootDigest } },
  ];
}
