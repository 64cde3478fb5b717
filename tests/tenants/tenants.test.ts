import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sha256Hex } from '@millrace/integrity';
import { eventually } from '@millrace/testing';
import type { Answer, Caller, Json } from './furnish.ts';
import { callerOf, done, furnish, graph, MARK, ROW, rows } from './furnish.ts';
import type { Schema } from './sample.ts';
import { sampleOf } from './sample.ts';
import type { ServiceStack } from './service-stack.ts';
import { startServiceStack } from './service-stack.ts';
import { checkAllowLists, checkApprovals, checkBundles, checkEnsembles } from './shared-names.ts';

/** In every body that is sent; no log may have it. */
const SECRET = 'secret-in-a-body';

type Operation = { readonly method: string; readonly path: string; readonly body: Schema | undefined };

let stack: ServiceStack;
let root: Caller;
let ann: Caller;
let eve: Caller;
let operations: Operation[];
/** Acme's things, by the parameter that names them. */
let things: Record<string, string>;

async function keyOf(tenant: string, principal: string): Promise<Caller> {
  await done(root('POST', '/v1/principals', { id: principal, tenant, roles: ['admin'] }));
  const { key } = await done(root('POST', '/v1/keys', { principal, tenant }));
  return callerOf(stack.origin, key);
}

async function readOperations(): Promise<Operation[]> {
  const document = (await root('GET', '/openapi.json')).body as {
    paths: Record<
      string,
      Record<string, { requestBody?: { content?: Record<string, { schema?: Schema }> } }>
    >;
  };
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      body: requestBody?.content?.['application/json']?.schema,
    })),
  );
}

/** A path with acme's things in it; ids without a name of their own are found by the path before them. */
function pathOf({ path }: Operation): string {
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string, at: number) => {
    const value = things[name] ?? things[path.slice(0, at - 1)];
    if (value === undefined)
      throw new Error(`The test has nothing for {${name}} of ${path}; make one of it.`);
    return encodeURIComponent(value);
  });
}

/** What routes ask for beside the path. */
const QUERIES: Readonly<Record<string, string>> = {
  '/model/versions': `?modelId=${MARK}`,
  '/monitoring/metrics': `?modelId=${MARK}`,
  '/v1/monitoring/metrics': `?modelId=${MARK}`,
  '/v1/monitoring/quality': `?modelId=${MARK}`,
  '/v1/monitoring/drift': `?modelId=${MARK}&version=v1&startTime=0&endTime=1`,
  '/v1/monitoring/drift/references': `?modelId=${MARK}&version=v1`,
  '/v1/features/{view}': `?entity=${MARK}`,
  '/v1/models/{name}/state': '?at=2100-01-01T00:00:00Z',
  '/v1/governance/state': '?at=2100-01-01T00:00:00Z',
  '/v1/models/{name}/allow-list': '?stage=production',
  '/v1/governance/allow-list': '?stage=production',
};
/** Bodies that their schema does not tell, or not wholly. */
const SPAN = { since: '2026-11-20T00:00:00Z', until: '2026-11-21T00:00:00Z' };
const INFER = { inputs: [{ name: 'float_input', datatype: 'FP32', shape: [1, 10], data: ROW }] };
const BODIES: Readonly<Record<string, unknown>> = {
  '/v1/features/{view}/lookup': { entities: [MARK] },
  '/v1/webhooks/{id}/replay': SPAN,
  '/v1/datasets/{datasetId}/ingest': {
    source: { type: 'upload', versionId: '01a20069-a60b-773e-b3cb-ac6791a4cc61' },
  },
  '/v2/models/{model}/infer': INFER,
  '/v2/models/{model}/versions/{version}/infer': INFER,
};

const isNaming = ({ path }: Operation): boolean => path.includes('{');
/**
 * What says nothing of anybody else: lists and answers of one's own about a digest, and what begins a model of one's own
 * under a name that others have too, which asks for a body of its own kind first. Each is
 * checked by itself in shared-names.ts; users of one tenant are nobody to another, whose data of them is empty.
 */
const OWN =
  /^(PUT|DELETE) \/v1\/governance\/allow-list\/|^GET \/v1\/approvals\/|\/ensembles$|^PUT .*\/bundle$|\/v1\/monitoring\/users\//;
const label = ({ method, path }: Operation): string => `${method} ${path}`;
function bodyOf({ method, path, body }: Operation): unknown {
  if (method === 'GET') return undefined;
  return BODIES[path] ?? (body === undefined ? undefined : sampleOf(body, SECRET));
}

/** Everything of acme that could be read or changed, as ann sees it. */
async function state(): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {};
  for (const one of operations) {
    if (
      one.method !== 'GET' ||
      /events$|batch-jobs|audit|usage|status|metrics|^\/(docs|health)|\/head$|verify$|workers$|parts$|downloads$|files$|stats$/.test(
        one.path,
      )
    )
      continue;
    const path = pathOf(one);
    const { status, body } = await ann('GET', path + (QUERIES[one.path] ?? ''));
    seen[path] = { status, body };
  }
  return JSON.parse(JSON.stringify(seen, (key, value) => (VOLATILE.has(key) ? undefined : value)));
}
/** What changes by itself, such as what is measured or signed anew. */
const VOLATILE = new Set([
  'requestId',
  'instance',
  'loadedAt',
  'latencyMs',
  'latencyCounts',
  'queue',
  'residentBytes',
  'telemetry',
  'url',
  'updatedAt',
  'emits',
  'times',
  'at',
  'lastUsedAt',
  'hostPids',
  'issuedAt',
  'bundle',
]);

beforeAll(async () => {
  stack = await startServiceStack();
  root = callerOf(stack.origin, stack.adminKey);
  for (const id of ['acme', 'bolt']) await done(root('POST', '/v1/tenants', { id }));
  [ann, eve] = [await keyOf('acme', 'ann'), await keyOf('bolt', 'eve')];
  operations = await readOperations();
  things = await furnish(ann);
}, 180_000);
afterAll(() => stack?.stop());

describe('an admin of another tenant', () => {
  let before: Record<string, unknown>;
  const answers: { what: string; path: string; answer: Answer; one: Operation }[] = [];

  beforeAll(async () => {
    before = await state();
    // reads first, so that nothing of eve's own is in the way
    const inOrder = operations.toSorted((a, b) => Number(b.method === 'GET') - Number(a.method === 'GET'));
    for (const one of inOrder) {
      const path = pathOf(one);
      const body = bodyOf(one);
      answers.push({
        what: label(one),
        path,
        one,
        answer: await eve(one.method, path + (QUERIES[one.path] ?? ''), body),
      });
    }
  }, 180_000);

  test('sees nothing of it on any route of the merged document', () => {
    expect(operations.length).toBeGreaterThan(120);
    // a digest says nothing of whose it is, and eve knows it
    const ids = Object.values(things).filter((value) => value.length > 30 && value !== things.digest);
    const secrets = [MARK, ...ids];
    // a refusal may say again what was asked for
    const leaks = answers
      .filter(({ answer }) => answer.status < 400)
      .filter(({ one, answer }) => {
        // metrics of an unknown model say which one was asked for
        const echo = QUERIES[one.path]?.includes(MARK) ? `"modelId":"${MARK}"` : '';
        return secrets.some((secret) => answer.text.replace(echo, '').includes(secret));
      });
    expect(leaks.map(({ what, answer }) => `${what} ${answer.text.slice(0, 200)}`)).toEqual([]);
  });

  test('is told that it is not there, or not theirs, wherever it is named', () => {
    const odd = answers
      .filter(({ one, what }) => isNaming(one) && !OWN.test(what))
      .filter(({ answer }) => ![403, 404].includes(answer.status))
      .map(({ what, answer }) => `${what} ${answer.status} ${answer.text.slice(0, 160)}`);
    expect(odd).toEqual([]);
    expect(answers.filter(({ answer }) => answer.status >= 500).map(({ what }) => what)).toEqual([]);
  });

  test('has changed nothing of it', async () => {
    expect(await state()).toEqual(before);
  });

  test.each([
    ['approvals', checkApprovals],
    ['allow-lists', checkAllowLists],
    ['ensembles', checkEnsembles],
    ['bundles', checkBundles],
  ])('is told by %s what is told of what nobody has, and changes nothing', async (_what, check) => {
    await check(ann, eve, things.digest as string);
  });

  test('cannot have its files converted, whose digests it knows', async () => {
    const source = (path: string, sha256: string) => ({
      source: { files: [{ path, sha256, sizeBytes: rows.length }] },
    });
    for (const sha256 of [sha256Hex(rows), sha256Hex('of nobody')]) {
      const answer = await eve('POST', '/v1/conversions', source('saved_model/saved_model.pb', sha256));
      expect(answer).toMatchObject({ status: 404, body: { code: 'file_not_owned' } });
    }
  });

  test('finds nothing of it by MLflow', async () => {
    const mlflow = '/api/2.0/mlflow';
    const { experiment_id: id } = await done(ann('POST', `${mlflow}/experiments/create`, { name: MARK }));
    const { run } = await done(ann('POST', `${mlflow}/runs/create`, { experiment_id: id }));
    const own = { max_results: 100 };
    const asked = [
      await eve('POST', `${mlflow}/experiments/search`, own),
      await eve('GET', `${mlflow}/experiments/get?experiment_id=${id}`),
      await eve('POST', `${mlflow}/runs/search`, { experiment_ids: [id] }),
      await eve('GET', `${mlflow}/runs/get?run_id=${run.info.run_id}`),
      await eve('GET', `${mlflow}/registered-models/search`),
      await eve('GET', `${mlflow}/registered-models/get?name=${MARK}`),
      await eve('GET', `${mlflow}/model-versions/search`),
      await eve('POST', `${mlflow}/runs/log-metric`, {
        run_id: run.info.run_id,
        key: 'a',
        value: 1,
        timestamp: 1,
      }),
    ];
    expect(asked.filter(({ status, text }) => status < 300 && text.includes(MARK))).toEqual([]);
    expect(asked.slice(-1)).toMatchObject([{ status: 404 }]);
  });

  test('left a row in the audit log for each thing that was tried, and no body in it', async () => {
    const { items, text } = await wholeAudit(eve);
    const counted = /^\/(predict|feedback)$|^\/v2\/models\//;
    const missing = answers
      .filter(({ one, path }) => one.method !== 'GET' && !counted.test(path))
      .filter(
        ({ one, path, answer }) =>
          !items.some(
            (row) =>
              row.principal === 'eve' &&
              row.method === one.method &&
              row.resource === path &&
              row.status === answer.status,
          ),
      )
      .map(({ what, answer }) => `${what} ${answer.status}`);
    expect(missing).toEqual([]);
    expect(text).not.toContain(SECRET);
    expect(text).not.toMatch(/mlr_[0-9a-z]+_/i);
    expect(await done(eve('GET', '/v1/audit/verify'))).toMatchObject({ verified: true });
    // and ann, who made everything, has hers
    const theirs = await wholeAudit(ann);
    expect(theirs.items.filter((row) => row.principal === 'eve')).toEqual([]);
    for (const path of [
      '/model/upload',
      '/v1/pipelines',
      '/v1/conversions',
      '/v1/batch-jobs',
      '/v1/webhooks',
    ])
      expect(theirs.items.some((row) => row.principal === 'ann' && row.resource === path)).toBe(true);
  });
});

async function wholeAudit(by: Caller): Promise<{ items: Json[]; text: string }> {
  const items: Json[] = [];
  let text = '';
  for (let cursor = ''; ; ) {
    const answer = await by('GET', `/v1/audit?limit=500${cursor}`);
    items.push(...(answer.body.items as Json[]));
    text += answer.text;
    if (answer.body.nextCursor === null) return { items, text };
    cursor = `&cursor=${answer.body.nextCursor}`;
  }
}

describe('counted quotas', () => {
  const limit = (limits: object) => done(root('PATCH', '/v1/tenants/acme', { limits }));
  const usage = async () => (await done(ann('GET', '/v1/tenants/acme/usage'))).kept as Json;
  /** The bounds reach services by a hint; what they refuse until then is not what is asked. */
  const refused = (ask: () => Promise<Answer>, quota: string, limitIs: number) =>
    eventually(async () => {
      const answer = await ask();
      expect(answer).toMatchObject({ status: 403, body: { code: 'quota_reached' } });
      expect(answer.body.detail).toContain(`may have ${limitIs} `);
      return quota;
    });

  test('usage tells what the services keep', async () => {
    expect(await usage()).toMatchObject({
      models: 1,
      modelBytes: expect.any(Number),
      datasetBytes: expect.any(Number),
      openJobs: { train: 1, pipeline: 1, convert: 1, ingest: 1 },
    });
    expect((await usage()).modelBytes).toBeGreaterThan(graph('model').length - 1);
    expect((await done(root('GET', '/v1/tenants/bolt/usage'))).kept.models).toBeLessThanOrEqual(1);
  });

  test('models, their bytes, datasets and jobs are refused at the bound, with the number', async () => {
    const { models, modelBytes, datasetBytes } = await usage();
    await limit({ models, modelBytes, datasetBytes, openJobs: 1 });
    // a name of its own each time: one that was asked for before the bound came is taken
    let asked = 0;
    const oneMore = () => ann('POST', '/v1/models', { name: `one-more-${++asked}` });
    await refused(oneMore, 'models', models);
    expect((await ann('GET', `/v1/models/one-more-${asked}`)).status).toBe(404);
    const form = new FormData();
    for (const [field, value] of Object.entries({ modelId: MARK, version: 'v9', framework: 'onnx' }))
      form.append(field, value);
    const other = graph('other');
    form.append('file', new Blob([other as Uint8Array<ArrayBuffer>]), 'model.onnx');
    await refused(() => ann('POST', '/model/upload', form), 'modelBytes', modelBytes);
    const more = new FormData();
    more.append('file', new Blob(['{"more":1}\n']), 'more.jsonl');
    await refused(
      () => ann('POST', `/v1/datasets/${things.datasetId}/files`, more),
      'datasetBytes',
      datasetBytes,
    );
    const recipe = 'verichain';
    await refused(() => ann('POST', '/v1/pipelines', { recipe, model: { name: MARK } }), 'openJobs', 1);
    const job = { recipe, dataset: { versionId: things.versionId } };
    await refused(() => ann('POST', '/v1/training/jobs', job), 'openJobs', 1);
    expect(await usage()).toMatchObject({ models, modelBytes, datasetBytes });
    // others have room, and so has acme again when its bounds are gone
    await done(eve('POST', '/v1/models', { name: 'of-bolt' }));
    await limit({});
    await eventually(async () => done(ann('POST', '/v1/models', { name: 'one-more' })));
  });

  test('artifacts of runs are refused at the bound in MLflow’s shape, and nothing of them is kept', async () => {
    const folder = '/api/2.0/mlflow-artifacts/artifacts';
    const file = (name: string) => `${folder}/quota/${name}`;
    await done(ann('PUT', file('first'), Buffer.alloc(600, 1)));
    const { artifactBytes } = await usage();
    expect(artifactBytes).toBeGreaterThanOrEqual(600);
    await limit({ artifactBytes: artifactBytes + 500 });
    const over = async () => await ann('PUT', file('over'), Buffer.alloc(501, 2));
    await eventually(async () => {
      const answer = await over();
      expect(answer).toMatchObject({ status: 403, body: { error_code: 'PERMISSION_DENIED' } });
      expect(answer.body.message).toContain(`may have ${artifactBytes + 500} `);
    });
    expect((await ann('GET', file('over'))).status).toBe(404);
    expect(await usage()).toMatchObject({ artifactBytes });
    // what is put in the place of another counts once; the last byte that fits is taken
    await done(ann('PUT', file('fits'), Buffer.alloc(500, 3)));
    await done(ann('PUT', file('fits'), Buffer.alloc(499, 4)));
    expect((await ann('PUT', file('two'), Buffer.alloc(2))).status).toBe(403);
    expect(await usage()).toMatchObject({ artifactBytes: artifactBytes + 499 });
    // parts that went to the object store directly count when they become a file
    const parts = '/api/2.0/mlflow-artifacts/mpu';
    const upload = { path: 'parts', num_parts: 1 };
    const begun = await done(ann('POST', `${parts}/create/quota`, upload));
    const sent = await fetch(begun.credentials[0].url, { method: 'PUT', body: Buffer.alloc(600, 5) });
    const etag = sent.headers.get('etag');
    const whole = { path: 'parts', upload_id: begun.upload_id, parts: [{ part_number: 1, etag }] };
    expect((await ann('POST', `${parts}/complete/quota`, whole)).status).toBe(403);
    expect((await ann('GET', file('parts'))).status).toBe(404);
    // it is over with: what came is not kept in wait
    expect((await ann('POST', `${parts}/complete/quota`, whole)).status).toBe(404);
    // another tenant's files take no room of acme's
    await done(eve('PUT', `${folder}/quota/first`, Buffer.alloc(900)));
    await limit({});
    await eventually(async () => done(over()));
  });

  test('batch jobs are refused while as many are open as there may be, also when they come at once', async () => {
    const many = new FormData();
    many.append('file', new Blob([rows.toString().repeat(60_000)]), 'many.jsonl');
    const data = await done(ann('POST', `/v1/datasets/${things.datasetId}/files`, many));
    const submit = () => ann('POST', '/v1/batch-jobs', { model: MARK, input: { datasetVersionId: data.id } });
    const count = async () => (await done(ann('GET', '/v1/batch-jobs?limit=500'))).items.length as number;
    await limit({ openJobs: 0 });
    await refused(submit, 'openJobs', 0);
    const before = await count();
    await limit({ openJobs: 1 });
    // the bound reaches inference by a hint: the first that is taken knows it
    const first = await eventually(async () => done(submit()));
    const others = await Promise.all([submit(), submit(), submit()]);
    for (const answer of others) {
      expect(answer).toMatchObject({ status: 403, body: { code: 'quota_reached' } });
      expect(answer.body.detail).toContain('may have 1 ');
    }
    expect(await count()).toBe(before + 1);
    expect(await usage()).toMatchObject({ openJobs: { batch: 1 } });
    await done(ann('POST', `/v1/batch-jobs/${first.id}/cancel`));
    await eventually(async () => expect((await usage()).openJobs.batch ?? 0).toBe(0));
    await done(submit());
    await limit({});
  });
});
