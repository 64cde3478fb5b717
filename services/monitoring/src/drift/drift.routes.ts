import { AppError, Uuid } from '@millrace/contracts';
import { DriftReference, FEATURES_MAX, REFERENCE_ROWS_MAX, STATISTICS } from '@millrace/drift';
import type { HttpApp } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import { assertRange, QueryName, TIME_MAX, timeRange } from '../time-range.ts';
import type { ReferenceInfo } from './drift.repository.ts';
import type { DriftReport, DriftService, ReferenceOrigin } from './drift.service.ts';

/** Bound of the body of a reference (bytes): what the gateway passes on. */
const BODY_BYTES_MAX = 1024 * 1024;
const WINDOW_MS_DEFAULT = 24 * 60 * 60_000;

const closed = { additionalProperties: false };
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const time = Type.Integer({ minimum: 0, maximum: TIME_MAX, description: 'Milliseconds since 1970.' });
const Cell = Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]);
const ofVersion = { modelId: QueryName, version: QueryName };

const ReferenceBody = Type.Object(
  {
    ...ofVersion,
    modelVersionId: Type.Optional(
      Type.Unsafe<string>({ ...Uuid, description: 'Needed while no prediction of the version has come.' }),
    ),
    bins: Type.Optional(
      Type.Integer({ minimum: 2, maximum: 32, description: 'Of numeric features; 10 unless given.' }),
    ),
    columns: Type.Optional(
      Type.Record(QueryName, Type.Array(Cell, { maxItems: REFERENCE_ROWS_MAX }), {
        maxProperties: FEATURES_MAX,
        description: 'Rows that the version was trained on, by feature; compared as float32.',
      }),
    ),
    window: Type.Optional(
      Type.Object(
        { startTime: time, endTime: time },
        { ...closed, description: 'Predictions to take as the reference; both ends are inclusive.' },
      ),
    ),
    reference: Type.Optional(Type.Unsafe<unknown>({ description: 'One that was made before.' })),
  },
  closed,
);

const Reference = Type.Object({
  id: Type.String(),
  modelId: Type.String(),
  version: Type.String(),
  modelVersionId: Type.String(),
  digest: Type.String({ description: 'SHA-256 of the canonical JSON (RFC 8785) of the distributions.' }),
  rows: Type.Integer(),
  features: Type.Integer(),
  source: Type.Unknown({ description: 'What it was made of.' }),
  createdBy: Type.String(),
  createdAt: Type.String(),
});

const Finding = Type.Object({
  check: Type.String({ description: 'distribution, nulls or range.' }),
  statistic: Type.String(),
  value: Type.Number(),
  criticalValue: Type.Number({ description: 'Passed by chance with the probability alpha, at these sizes.' }),
  pValue: Type.Number(),
  adjustedPValue: Type.Number({
    description: 'After Benjamini and Hochberg, over all checks of the report.',
  }),
  effect: Type.Number(),
  floor: Type.Number(),
  referenceSize: Type.Integer(),
  currentSize: Type.Integer(),
  method: Type.String({ description: 'asymptotic or simulated.' }),
  isSignificant: Type.Boolean(),
  isDrifted: Type.Boolean({ description: 'Significant, and the effect reaches the floor.' }),
});

const Counts = Type.Array(Type.Integer());
const Report = Type.Object({
  status: Type.String({ description: 'no-reference, too-few-rows, stable or drifted.' }),
  modelId: Type.String(),
  version: Type.String(),
  modelVersionId: Nullable(Type.String()),
  reference: Nullable(Reference),
  startTime: Type.Integer(),
  endTime: Type.Integer(),
  alpha: Type.Number(),
  statistic: Type.String(),
  predictions: Type.Integer({ description: 'That were compared: the newest 50,000 of the window.' }),
  unread: Type.Integer({ description: 'Those of them whose values did not travel.' }),
  isTruncated: Type.Boolean({ description: 'Whether the window held more.' }),
  features: Type.Array(
    Type.Object({
      name: Type.String(),
      kind: Type.String(),
      status: Type.String({ description: 'too-few-rows, stable or drifted.' }),
      checks: Type.Array(Finding),
      mismatched: Type.Integer({ description: 'Rows with a value of another type.' }),
      edges: Nullable(Type.Array(Type.Number())),
      categories: Nullable(Type.Array(Type.String())),
      reference: Type.Object({ counts: Counts, nulls: Type.Integer() }),
      window: Type.Object({
        counts: Counts,
        nulls: Type.Integer(),
        mismatched: Type.Integer(),
        below: Type.Integer(),
        above: Type.Integer(),
      }),
    }),
  ),
});

/** A report as it is sent. */
function toReport({ reference, features, ...report }: DriftReport) {
  return {
    ...report,
    reference: reference === null ? null : toReference(reference),
    features: features.map(({ checks, edges, categories, reference: before, window, ...feature }) => ({
      ...feature,
      checks: [...checks],
      edges: edges === null ? null : [...edges],
      categories: categories === null ? null : [...categories],
      reference: { ...before, counts: [...before.counts] },
      window: { ...window, counts: [...window.counts] },
    })),
  };
}

const toReference = ({ model, createdAt, ...info }: ReferenceInfo) => ({
  ...info,
  modelId: model,
  createdAt: createdAt.toISOString(),
});

/** The one origin that a body names. Throws `invalid_request` for none and for several. */
function originOf({ columns, window, reference }: Static<typeof ReferenceBody>): ReferenceOrigin {
  const given = [columns, window, reference].filter((one) => one !== undefined);
  if (given.length !== 1)
    throw new AppError('invalid_request', 'body takes exactly one of columns, window and reference.');
  if (window !== undefined) {
    assertRange(window);
    return { window };
  }
  if (columns === undefined) return { reference };
  return {
    columns: Object.entries(columns).map(([name, values]) => ({
      name,
      values,
      precision: 'single' as const,
    })),
  };
}

/** References of versions, and reports of what has drifted from them. */
export function driftRoutes(drift: DriftService): (app: HttpApp) => Promise<void> {
  return async (app) => {
    const tags = ['monitoring'];
    app.post(
      '/v1/monitoring/drift/references',
      {
        config: { scope: 'models:write' },
        bodyLimit: BODY_BYTES_MAX,
        schema: {
          operationId: 'createDriftReference',
          tags,
          description:
            'What predictions of a version are compared with from now on, made of one of `columns`, `window` and `reference`. Features are named as reports name them, such as `inputs.x[2]`. The same again is the one in use; the last 20 are kept.',
          body: ReferenceBody,
          response: { 201: Reference },
        },
      },
      async ({ body, principal }, reply) => {
        const { modelId: model, version, modelVersionId, bins } = body;
        const origin = originOf(body);
        const { tenant, id } = principal;
        const request = { tenant, principal: id, model, version, modelVersionId, bins, origin };
        return reply.code(201).send(toReference(await drift.createReference(request)));
      },
    );
    app.get(
      '/v1/monitoring/drift/references',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'listDriftReferences',
          tags,
          description: 'The one in use first.',
          querystring: Type.Object(ofVersion, closed),
          response: { 200: Type.Object({ items: Type.Array(Reference) }) },
        },
      },
      async ({ query, principal }) => {
        const found = await drift.listReferences(principal.tenant, query.modelId, query.version);
        return { items: found.map(toReference) };
      },
    );
    app.get(
      '/v1/monitoring/drift/references/:referenceId',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'getDriftReference',
          tags,
          params: Type.Object({ referenceId: Uuid }),
          response: { 200: Type.Object({ ...Reference.properties, distributions: DriftReference }) },
        },
      },
      async ({ params, principal }) => {
        const { distributions, ...info } = await drift.findReference(principal.tenant, params.referenceId);
        return { ...toReference(info), distributions };
      },
    );
    app.get(
      '/v1/monitoring/drift',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'getDrift',
          tags,
          description:
            'Compares the predictions of a window (the last 24 hours unless given) with the reference in use. A version without one has the status `no-reference`.',
          querystring: Type.Object(
            {
              ...ofVersion,
              ...timeRange,
              alpha: Type.Number({ exclusiveMinimum: 0, maximum: 0.5, default: 0.01 }),
              statistic: Type.Union(
                STATISTICS.map((name) => Type.Literal(name)),
                { default: 'psi' },
              ),
            },
            closed,
          ),
          response: { 200: Report },
        },
      },
      async ({ query, principal }) => {
        const { modelId, version, alpha, statistic } = query;
        const endTime = query.endTime ?? Date.now();
        const startTime = query.startTime ?? Math.max(0, endTime - WINDOW_MS_DEFAULT);
        assertRange({ startTime, endTime });
        const { tenant } = principal;
        const comparing = { startTime, endTime, alpha, statistic };
        const report = await drift.report({ tenant, model: modelId, version }, comparing);
        return { modelId, version, ...toReport(report) };
      },
    );
  };
}
