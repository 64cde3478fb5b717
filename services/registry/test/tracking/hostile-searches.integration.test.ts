import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isLongRun } from '@millrace/testing';
import fc from 'fast-check';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, postJson, startRegistryStack } from '../support/registry-stack.ts';

const RUNS = isLongRun ? 2_000 : 150;
let stack: RegistryStack;
let experimentId: string;

const api = (path: string) => `${stack.registry.origin}/api/2.0/mlflow/${path}`;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  experimentId = String((await postJson(api('experiments/create'), { name: 'hostile' })).body.experiment_id);
  const { body } = await postJson(api('runs/create'), { experiment_id: experimentId, start_time: 1 });
  const runId = (body.run as { info: { run_id: string } }).info.run_id;
  const pair = [{ key: 'a', value: '1' }];
  await postJson(api('runs/log-batch'), {
    run_id: runId,
    params: pair,
    tags: pair,
    metrics: [{ key: 'a', value: 1, timestamp: 1, step: 1 }],
  });
  await postJson(api('registered-models/create'), { name: 'hostile', tags: pair });
}, 90_000);
afterAll(() => stack?.stop());

/** Filters and orders that parse or nearly do, with what SQL, patterns and numbers choke on. */
const field = fc.constantFrom(
  'metrics.a',
  'params.a',
  'tags.a',
  'attributes.run_id',
  'run_name',
  'start_time',
  'end_time',
  'status',
  'dataset.name',
  'name',
  'version_number',
  'creation_timestamp',
  'last_updated_timestamp',
  'last_update_time',
  'source',
  'run_id',
  'artifact_uri',
  'tags.`a\'"; drop table registry.runs; --`',
  'params."\\"',
);
const operator = fc.constantFrom(
  '=',
  '!=',
  '>',
  '<=',
  'LIKE',
  'ILIKE',
  'IN',
  'NOT IN',
  'IS NULL',
  'IS NOT NULL',
);
const value = fc.oneof(
  fc.constantFrom(
    "'1'",
    '1',
    '1e308',
    '1e999',
    '-0',
    '9223372036854775808',
    '99999999999999999999999999',
    'NaN',
    "'%'",
    "'%\\'",
    "'_%_\\\\'",
    "'\\'",
    "''' or 1=1 --'",
    "('1','2')",
    '(1)',
    "('1'::text)",
    "('x', pg_sleep(9))",
    '$1',
    "E'\\\\000'",
    "'\u0000'",
    "'\ud800'",
    "'\u202e'",
    '',
  ),
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => `'${text.replaceAll("'", "''")}'`),
);
const filter = fc
  .array(
    fc.tuple(field, operator, value).map((parts) => parts.join(' ')),
    { minLength: 1, maxLength: 3 },
  )
  .map((all) => all.join(' AND '));
const order = fc
  .tuple(field, fc.constantFrom('', ' ASC', ' DESC', ' desc', ' NULLS FIRST', '; select 1'))
  .map((parts) => parts.join(''));
const token = fc.constantFrom(undefined, '', 'e30=', 'bm9uZQ', '../../x', "' or 1=1 --", '\u0000');

const searches: Readonly<
  Record<
    string,
    (search: { filter: string; order: string; token: string | undefined }) => Promise<{ status: number }>
  >
> = {
  runs: ({ filter: text, order: by, token: after }) =>
    postJson(api('runs/search'), {
      experiment_ids: [experimentId],
      filter: text,
      order_by: [by],
      page_token: after,
    }),
  experiments: ({ filter: text, order: by, token: after }) =>
    postJson(api('experiments/search'), { filter: text, order_by: [by], max_results: 5, page_token: after }),
  'logged models': ({ filter: text, order: by, token: after }) =>
    postJson(api('logged-models/search'), {
      experiment_ids: [experimentId],
      filter: text,
      order_by: [{ field_name: by }],
      page_token: after,
    }),
  ...Object.fromEntries(
    ['registered-models', 'model-versions'].map((kind) => [
      kind,
      ({
        filter: text,
        order: by,
        token: after,
      }: {
        filter: string;
        order: string;
        token: string | undefined;
      }) =>
        getJson(
          api(
            `${kind}/search?${new URLSearchParams({ filter: text, order_by: by, ...(after === undefined ? {} : { page_token: after }) }).toString()}`,
          ),
        ),
    ]),
  ),
};

test.each(Object.keys(searches))(
  'whatever is asked of %s is answered or refused, and harms nothing',
  async (kind) => {
    const ask = searches[kind] ?? fail;
    await fc.assert(
      fc.asyncProperty(fc.record({ filter, order, token }), async (search) => {
        expect([200, 400]).toContain((await ask(search)).status);
      }),
      { numRuns: RUNS },
    );
    expect((await postJson(api('runs/search'), { experiment_ids: [experimentId] })).body.runs).toHaveLength(
      1,
    );
  },
);

function fail(): never {
  throw new Error('no such search');
}

test('50 versions that are asked for at once get 50 numbers', async () => {
  const files = `${stack.registry.origin}/api/2.0/mlflow-artifacts/artifacts/${experimentId}/x/artifacts/model`;
  expect((await fetch(`${files}/weights.txt`, { method: 'PUT', body: 'weights' })).status).toBe(200);
  const source = `mlflow-artifacts:/${experimentId}/x/artifacts/model`;
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => postJson(api('model-versions/create'), { name: 'hostile', source })),
  );
  const numbers = answers.map(({ body }) => Number((body.model_version as { version: string }).version));
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
});
