import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { serveRpc } from '@millrace/bus';
import { AppError, DatasetInput, newId, Uuid } from '@millrace/contracts';
import Type from 'typebox';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';
import { sha256Of } from '../support/test-registry.ts';
import type { BatchClient } from './batch-client.ts';
import { createBatchClient, download, downloadLines } from './batch-client.ts';
import { COLUMNS, csvOf, makeRows, npyOf, parquetOf, readNpy } from './batch-files.ts';

const ROWS = 10_000;
const ROOT = 'batch-inputs/default';
const rows = makeRows(ROWS);

let serving: Serving;
let batch: BatchClient;
/** What /predict answers for each row; the answer to one row keeps a single value in its list. */
let direct: Record<string, unknown>[];

async function predictDirectly(): Promise<Record<string, unknown>[]> {
  const answers: Record<string, unknown>[] = [];
  for (let from = 0; from < ROWS; from += 100) {
    const { status, body } = await serving.classify('batched', rows.slice(from, from + 100));
    expect(status).toBe(200);
    const prediction = Object.entries(body.prediction as Record<string, unknown[]>);
    for (let i = 0; i < 100; i += 1)
      answers.push(Object.fromEntries(prediction.map(([name, values]) => [name, [values[i]].flat()])));
  }
  return answers;
}

beforeAll(async () => {
  serving = await startServing();
  batch = createBatchClient(serving.origin);
  await serving.registry.add('batched', fixture('classifier'));
  direct = await predictDirectly();
}, 120_000);

afterAll(async () => {
  await serving?.stop();
}, 40_000);

describe('10,000 rows', () => {
  test.each([
    ['csv', csvOf(rows)],
    ['parquet', parquetOf(rows, 3_000)],
    ['npy', npyOf(rows)],
    ['jsonl', Buffer.from(rows.map((row) => `${JSON.stringify({ float_input: row })}\n`).join(''))],
  ])(
    '%s: every row once, in order, with the values of direct predictions',
    async (format, bytes) => {
      await serving.storage.putObject(`${ROOT}/in.${format}`, bytes);
      const id = await batch.createdId({
        model: 'batched',
        input: { key: `${ROOT}/in.${format}` },
        chunkRows: 777,
      });
      const job = await batch.ended(id);
      expect(job).toMatchObject({
        state: 'succeeded',
        format,
        rows: { total: ROWS, done: ROWS, skipped: 0 },
        error: null,
      });
      const results = await batch.results(id);
      const lines = await downloadLines(results.result);
      expect(lines).toHaveLength(ROWS);
      expect(lines.findIndex(({ row }, i) => row !== i + 1)).toBe(-1);
      const differs = lines.findIndex(({ prediction }, i) => !isDeepStrictEqual(prediction, direct[i]));
      expect(differs).toBe(-1);

      const manifest = JSON.parse((await download(results.manifest)).toString());
      expect(manifest.parts.map((part: { sha256: string }) => part.sha256)).toEqual(
        results.items.map(({ sha256 }) => sha256),
      );
      const parts = await Promise.all(results.items.map(download));
      expect(sha256Of(Buffer.concat(parts))).toBe(results.result?.sha256);
    },
    120_000,
  );
});

/** A small job on `count` of the rows as CSV, under a name of its own. */
async function submitCsv(name: string, bytes: Buffer, more: object = {}): Promise<string> {
  await serving.storage.putObject(`${ROOT}/${name}.csv`, bytes);
  return batch.createdId({ model: 'batched', input: { key: `${ROOT}/${name}.csv` }, ...more });
}

describe('forms of results', () => {
  test('csv has a column for each value, npy one array; files of a prefix follow each other', async () => {
    const [first, second] = [rows.slice(0, 150), rows.slice(150, 400)];
    await serving.storage.putObject(`${ROOT}/two/a.csv`, csvOf(first));
    await serving.storage.putObject(`${ROOT}/two/b.csv`, csvOf(second));
    const body = { model: 'batched', input: { prefix: `${ROOT}/two/` }, chunkRows: 100 };
    const numeric = 'output_probability';

    const csv = await batch.createdId({ ...body, output: { format: 'csv', names: [numeric] } });
    expect(await batch.ended(csv)).toMatchObject({ state: 'succeeded', rows: { done: 400 } });
    const text = (await download((await batch.results(csv)).result)).toString().trimEnd().split('\n');
    expect(text).toHaveLength(401);
    text.slice(1).forEach((line, i) => {
      const values = (direct[i] as Record<string, number[]>)[numeric] ?? [];
      expect(line.split(',').map(Number)).toEqual([i + 1, ...values]);
    });

    const npy = await batch.createdId({ ...body, output: { format: 'npy', names: [numeric] } });
    expect(await batch.ended(npy)).toMatchObject({ state: 'succeeded' });
    const { shape, data } = readNpy(await download((await batch.results(npy)).result));
    const expected = direct.slice(0, 400).flatMap((one) => one[numeric] as number[]);
    expect(shape).toEqual([400, expected.length / 400]);
    expect([...data]).toEqual(expected.map(Math.fround));
  }, 120_000);

  test('columns may be mapped in another order, and others are ignored', async () => {
    const shuffled = rows.slice(0, 20).map((row, i) => [`id-${i}`, ...[...row].reverse()]);
    const id = await submitCsv('mapped', csvOf(shuffled, ['id', ...[...COLUMNS].reverse()]), {
      columns: { float_input: COLUMNS },
    });
    expect(await batch.ended(id)).toMatchObject({ state: 'succeeded' });
    const lines = await downloadLines((await batch.results(id)).result);
    expect(lines.map(({ prediction }) => prediction)).toEqual(direct.slice(0, 20));
  }, 60_000);
});

describe('dataset versions', () => {
  const versionId = newId();
  let datasets: { stop(): Promise<void> };

  beforeAll(async () => {
    const stored = async (path: string, bytes: Buffer) => ({
      path,
      ...(await serving.storage.putBlob(bytes)),
    });
    const files = [
      await stored('data/1.parquet', parquetOf(rows.slice(0, 30), 7)),
      await stored('data/2.parquet', parquetOf(rows.slice(30, 50), 20)),
      await stored('meta.json', Buffer.from('{}')),
    ];
    const method = { request: Type.Object({ tenant: Type.String(), versionId: Uuid }), reply: DatasetInput };
    datasets = serveRpc(serving.bus, 'datasets', 'resolve', method, async (request) => {
      if (request.versionId !== versionId || request.tenant !== 'default')
        throw new AppError('dataset_version_not_found', 'There is no such version.');
      return { datasetId: versionId, versionId, digest: 'a'.repeat(64), files };
    });
  });
  afterAll(() => datasets.stop());

  test('are read file by file', async () => {
    const id = await batch.createdId({ model: 'batched', input: { datasetVersionId: versionId } });
    expect(await batch.ended(id)).toMatchObject({
      state: 'succeeded',
      format: 'parquet',
      rows: { done: 50 },
    });
    const lines = await downloadLines((await batch.results(id)).result);
    expect(lines.map(({ prediction }) => prediction)).toEqual(direct.slice(0, 50));
  }, 60_000);

  test('must be there', async () => {
    expect(await batch.create({ model: 'batched', input: { datasetVersionId: newId() } })).toMatchObject({
      status: 404,
      body: { code: 'dataset_version_not_found' },
    });
  });
});

describe('bad rows', () => {
  const spoilt = (): (number | string)[][] => {
    const own: (number | string)[][] = rows.slice(0, 250).map((row) => [...row]);
    (own[41] as (number | string)[])[3] = 'NaN';
    (own[42] as (number | string)[])[0] = 'many';
    own[199] = [1, 2, 3];
    return own;
  };

  test('fail the job with the number of the first', async () => {
    const id = await submitCsv('spoilt', csvOf(spoilt()), { chunkRows: 100 });
    const job = await batch.ended(id);
    expect(job).toMatchObject({ state: 'failed', error: { code: 'not_finite' } });
    expect((job.error as { message: string }).message).toMatch(/^Row 42: .*index 3/);
    expect(await batch.get(`/${id}/results`)).toMatchObject({
      status: 409,
      body: { code: 'batch_not_finished' },
    });
  }, 60_000);

  test('are left out, counted and listed in order where the job says so', async () => {
    const id = await submitCsv('skipped', csvOf(spoilt()), { chunkRows: 100, onRowError: 'skip' });
    expect(await batch.ended(id)).toMatchObject({
      state: 'succeeded',
      rows: { total: 250, done: 247, skipped: 3 },
    });
    const { result, errors } = await batch.results(id);
    const lines = await downloadLines(result);
    const kept = rows.slice(0, 250).flatMap((_, i) => ([41, 42, 199].includes(i) ? [] : [i]));
    expect(lines.map(({ row }) => row)).toEqual(kept.map((i) => i + 1));
    expect(lines.map(({ prediction }) => prediction)).toEqual(kept.map((i) => direct[i]));
    expect(await downloadLines(errors)).toMatchObject([
      { row: 42, code: 'not_finite' },
      { row: 43, code: 'invalid_type' },
      { row: 200, code: 'batch_input_invalid' },
    ]);
  }, 60_000);

  test.each([
    ['an array cut off', 'cut.npy', npyOf(rows.slice(0, 9)).subarray(0, 300), 'batch_input_invalid'],
    ['no Parquet', 'no.parquet', Buffer.from('PAR1 and nothing more PAR1'), 'batch_input_invalid'],
    ['only a header', 'empty.csv', csvOf([]), 'batch_input_invalid'],
    ['columns that do not fit', 'narrow.csv', csvOf([[1, 2]], ['a', 'b']), 'invalid_shape'],
    ['an input that the model lacks', 'extra.jsonl', Buffer.from('{"other":[1]}\n'), 'extra_input'],
    ['no JSON', 'no.jsonl', Buffer.from('{"float_input":[1,2\n'), 'invalid_json'],
  ])(
    '%s fails the job',
    async (_what, name, bytes, code) => {
      await serving.storage.putObject(`${ROOT}/${name}`, Buffer.from(bytes));
      const id = await batch.createdId({ model: 'batched', input: { key: `${ROOT}/${name}` } });
      expect(await batch.ended(id)).toMatchObject({ state: 'failed', error: { code } });
    },
    60_000,
  );
});

describe('requests', () => {
  const input = { key: `${ROOT}/in.csv` };

  test.each([
    ['an unknown model', { model: 'nobody', input }, 404, 'model_not_found'],
    ['an unknown version', { model: 'batched', version: 'v9', input }, 404, 'version_not_found'],
    [
      'no such object',
      { model: 'batched', input: { key: `${ROOT}/none.csv` } },
      404,
      'batch_input_not_found',
    ],
    [
      'a foreign folder',
      { model: 'batched', input: { key: 'batch-inputs/other/in.csv' } },
      403,
      'key_not_allowed',
    ],
    ['a blob', { model: 'batched', input: { prefix: 'cas/00/' } }, 403, 'key_not_allowed'],
    ['a way out', { model: 'batched', input: { key: `${ROOT}/../other/in.csv` } }, 400, 'bad_id'],
    ['an unknown field', { model: 'batched', input, colour: 'red' }, 400, 'unknown_field'],
    ['too large a chunk', { model: 'batched', input, chunkRows: 1e6 }, 400, 'invalid_request'],
    [
      'options of another format',
      { model: 'batched', input, format: 'npy', csv: { header: true } },
      400,
      'invalid_request',
    ],
  ])('%s is refused', async (_what, body, status, code) => {
    await serving.storage.putObject(`${ROOT}/in.csv`, csvOf(rows.slice(0, 5)));
    expect(await batch.create(body)).toMatchObject({ status, body: { code } });
  });

  test('an Idempotency-Key gives the first job again, and refuses another body', async () => {
    await serving.storage.putObject(`${ROOT}/once.csv`, csvOf(rows.slice(0, 5)));
    const body = { model: 'batched', input: { key: `${ROOT}/once.csv` } };
    const key = { 'idempotency-key': 'only-once' };
    const both = await Promise.all([batch.create(body, key), batch.create(body, key)]);
    expect(both.map(({ status }) => status)).toEqual([202, 202]);
    expect(both[0]?.body.id).toBe(both[1]?.body.id);
    expect(await batch.create({ ...body, chunkRows: 7 }, key)).toMatchObject({
      status: 422,
      body: { code: 'idempotency_mismatch' },
    });
    await batch.ended(String(both[0]?.body.id));
  }, 60_000);

  test('the version is that of the creation, whatever is added later', async () => {
    await serving.registry.add('moving', fixture('classifier'));
    await serving.storage.putObject(`${ROOT}/pinned.csv`, csvOf(rows.slice(0, 5)));
    const created = await batch.create({ model: 'moving', input: { key: `${ROOT}/pinned.csv` } });
    await serving.registry.add('moving', fixture('classifier'));
    expect(created.body).toMatchObject({ version: 'v1' });
    expect(await batch.ended(String(created.body.id))).toMatchObject({ state: 'succeeded', version: 'v1' });
  }, 60_000);

  test('a cancelled job makes nothing more, and one that has ended cannot be cancelled', async () => {
    const id = await submitCsv('cancelled', csvOf(rows), { chunkRows: 10 });
    expect(await batch.ask('POST', `/${id}/cancel`)).toMatchObject({
      status: 202,
      body: { state: 'cancelled', error: { code: 'job_cancelled' } },
    });
    expect((await batch.ask('POST', `/${id}/cancel`)).status).toBe(202);
    const other = await submitCsv('small', csvOf(rows.slice(0, 3)));
    expect(await batch.ended(other)).toMatchObject({ state: 'succeeded' });
    const { body } = await batch.get(`/${id}`);
    expect(body).toMatchObject({ state: 'cancelled' });
    expect((body.rows as { done: number }).done).toBeLessThan(ROWS);
    expect(await batch.ask('POST', `/${other}/cancel`)).toMatchObject({
      status: 409,
      body: { code: 'job_not_cancellable' },
    });
  }, 60_000);

  test('lists come in pages, newest first, and by state', async () => {
    const { body: page } = await batch.get('?limit=2');
    const { body: next } = await batch.get(`?limit=2&cursor=${page.nextCursor}`);
    const ids = [...(page.items as { id: string }[]), ...(next.items as { id: string }[])].map(
      ({ id }) => id,
    );
    expect(new Set(ids).size).toBe(4);
    expect([...ids].sort().reverse()).toEqual(ids);
    const { body: cancelled } = await batch.get('?state=cancelled');
    expect(cancelled.items).toHaveLength(1);
    expect(await batch.get('/00000000-0000-7000-8000-000000000000')).toMatchObject({
      status: 404,
      body: { code: 'job_not_found' },
    });
  });
});
