import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sha256Hex } from '@millrace/integrity';
import { millrace } from '../../libs/cli/test/fixtures.ts';
import type { ConverterStack } from '../../services/converter/test/support/converter-stack.ts';
import { startConverterStack } from '../../services/converter/test/support/converter-stack.ts';

let stack: ConverterStack;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-convert-test-'));
  stack = await startConverterStack();
}, 90_000);

afterAll(async () => {
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('millrace convert repeats a conversion quantised, compares, and downloads what was made', async () => {
  const { files } = await stack.source('weights');
  const queued = await stack.post('/v1/conversions', {
    source: { format: 'weights', files: files.filter(({ path }) => path !== 'validation.arrow') },
  });
  const first = await stack.ended(queued.body.id);
  expect(first).toMatchObject({ state: 'succeeded' });

  const url = ['--url', stack.converter.origin];
  const out = join(folder, 'int8');
  const run = await millrace(['convert', first.id, '--quantize', 'int8_dynamic', '--out', out, ...url]);
  expect(run).toMatchObject({ code: 0, err: '' });
  expect(run.out).toMatch(/network\s+mlp, 2693 parameters/);
  expect(run.out).toMatch(/decides\s+alike on [\d.]+ % of 6 rows/);
  expect(readdirSync(out).sort()).toEqual(['conversion.json', 'labels.txt', 'model.onnx']);
  const model = readFileSync(join(out, 'model.onnx'));
  const float32 = first.result?.files.find(({ path }) => path === 'model.onnx')?.sizeBytes ?? 0;
  expect(model.length).toBeLessThan(0.7 * float32);
  const report = JSON.parse(readFileSync(join(out, 'conversion.json'), 'utf8')) as {
    digests: Record<string, string>;
  };
  expect(report.digests['model.onnx']).toBe(sha256Hex(model));

  const again = await millrace(['convert', first.id, '--out', out, ...url]);
  expect(again).toMatchObject({ code: 64 });
  const failed = await millrace([
    'convert',
    first.id,
    '--out',
    join(folder, 'none'),
    '--opset',
    '99',
    ...url,
  ]);
  expect(failed.code).toBe(1);
  expect(existsSync(join(folder, 'none'))).toBe(false);
}, 120_000);
