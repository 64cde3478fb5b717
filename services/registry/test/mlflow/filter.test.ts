import { describe, expect, test } from '@jest/globals';
import type { AppError } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';
import fc from 'fast-check';
import type { Comparison, FilterDialect } from '../../src/mlflow/filter.ts';
import { parseFilter } from '../../src/mlflow/filter.ts';
import { parseOrderBy } from '../../src/mlflow/order-by.ts';

const dialect: FilterDialect = {
  attributes: { run_id: 'id', run_name: 'text', status: 'text', start_time: 'number' },
  spellings: { 'Run name': 'run_name', Created: 'start_time' },
  entities: ['metric', 'param', 'tag', 'dataset'],
};
const parse = (text: string) => parseFilter(text, dialect);
const comparison = (entity: string, key: string, operator: string, value: unknown) => ({
  field: { entity, key },
  operator,
  value,
});

function refusal(text: string): string {
  try {
    parse(text);
  } catch (error) {
    return `${(error as AppError).code}: ${(error as AppError).message}`;
  }
  return 'accepted';
}

describe('the grammar', () => {
  test.each<[string, ReturnType<typeof comparison>[]]>([
    ['', []],
    ['   ', []],
    ['metrics.loss < 0.5', [comparison('metric', 'loss', '<', 0.5)]],
    ['metric.`val loss`>=-1.5e-3', [comparison('metric', 'val loss', '>=', -0.0015)]],
    ['metrics."a/b:c" != .5', [comparison('metric', 'a/b:c', '!=', 0.5)]],
    ['`metrics`.`m` = NaN', [comparison('metric', 'm', '=', Number.NaN)]],
    ['metrics.m < -inf', [comparison('metric', 'm', '<', -Infinity)]],
    ['metrics.1 = +Infinity', [comparison('metric', '1', '=', Infinity)]],
    ["params.lr = '0.1'", [comparison('param', 'lr', '=', '0.1')]],
    ['parameters.lr LIKE "0.%"', [comparison('param', 'lr', 'LIKE', '0.%')]],
    ["tags.mlflow.source.name iLike '%PY'", [comparison('tag', 'mlflow.source.name', 'ILIKE', '%PY')]],
    [
      "tags.a = 'it''s' and tags.b='x AND y'",
      [comparison('tag', 'a', '=', "it's"), comparison('tag', 'b', '=', 'x AND y')],
    ],
    [
      'tag.in IS NULL AND params.p is not null',
      [comparison('tag', 'in', 'IS NULL', null), comparison('param', 'p', 'IS NOT NULL', null)],
    ],
    ["run_id IN ('a',\"b\" , 'c')", [comparison('attribute', 'run_id', 'IN', ['a', 'b', 'c'])]],
    ["attributes.run_id not in ('a',)", [comparison('attribute', 'run_id', 'NOT IN', ['a'])]],
    ["status = 'RUNNING'", [comparison('attribute', 'status', '=', 'RUNNING')]],
    [
      "`Run name` = 'a' AND attr.Created > 5",
      [comparison('attribute', 'run_name', '=', 'a'), comparison('attribute', 'start_time', '>', 5)],
    ],
    ["datasets.context IN ('train')", [comparison('dataset', 'context', 'IN', ['train'])]],
  ])('%s', (text, expected) => expect(parse(text)).toEqual(expected));

  test.each([
    ['metrics.loss', /operator must follow/],
    ['metrics.loss <', /at its end: 'loss' is compared with a number/],
    ["metrics.loss < '1'", /position 15.*without quotes/],
    ['metrics.loss < NaN', /NaN has no order/],
    ["metrics.loss LIKE '1'", /cannot be compared by LIKE/],
    ['metrics.val-loss < 1', /'-' at position 11.*backticks/],
    ['metrics.a > 1 OR metrics.b > 1', /OR is not supported/],
    ['metrics.a > 1 metrics.b > 1', /join comparisons by AND/],
    ['(metrics.a > 1)', /write a field/],
    ['params.lr = 1', /text in quotes/],
    ["params.lr > '1'", /cannot be compared by >/],
    ["params.lr = 'x", /quote ' at position 12 is not closed/],
    ["params.lr IN ('x')", /cannot be compared by IN/],
    ["model.x = 'a'", /'model' is no kind of field/],
    ["nothing = 'a'", /no attribute 'nothing'; there are run_id/],
    ['status IS NULL', /cannot be compared by IS NULL/],
    ['start_time > inf', /finite/],
    ["run_id LIKE 'a%'", /cannot be compared by LIKE; use =, !=, IN, NOT IN/],
    ['run_id IN ()', /text in quotes/],
    ["datasets.profile = 'x'", /a dataset has name, digest, context/],
    ["__proto__ = 'x'", /no attribute/],
    ["constructor.name = 'x'", /no kind of field/],
    ["tags.a = 'x'; drop table runs", /';' at position 12/],
    [Array.from({ length: 51 }, () => 'metrics.a > 1').join(' AND '), /at most 50/],
    [`params.a = '${'x'.repeat(100_000)}'`, /at most 100000 characters/],
  ])('refuses faulty clause %#', (text, message) => {
    expect(refusal(text)).toMatch(message);
    expect(refusal(text)).toMatch(/^invalid_filter: /);
  });

  test('orders', () => {
    expect(parseOrderBy(['metrics.`val loss` desc', 'start_time', 'tags.a ASC'], dialect)).toEqual([
      { field: { entity: 'metric', key: 'val loss' }, isAscending: false },
      { field: { entity: 'attribute', key: 'start_time' }, isAscending: true },
      { field: { entity: 'tag', key: 'a' }, isAscending: true },
    ]);
    for (const clause of ['metrics.a sideways', '', 'metrics.a DESC DESC', 'datasets.name'])
      expect(() => parseOrderBy([clause], dialect)).toThrow(/Invalid clause/);
    expect(() => parseOrderBy(['params.a', 'param.a DESC'], dialect)).toThrow(/twice/);
  });
});

const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const quoted = (mark: string, value: string): string => mark + value.replaceAll(mark, mark + mark) + mark;
const text = fc.tuple(
  fc.constantFrom("'", '"'),
  fc.string({ unit: 'binary', maxLength: 20 }).map((value) => value.replaceAll('\0', '')),
);
const spaced = fc.constantFrom(' ', '  ', '\n', '\t ');

/** A comparison and one way to write it. */
const written = fc
  .oneof(
    fc
      .tuple(fc.constantFrom('=', '!=', '<', '<=', '>', '>='), fc.double({ noNaN: true }))
      .map(([operator, value]) => ({ entity: 'metric', operator, value: value + 0, source: String(value) })),
    fc
      .tuple(fc.constantFrom('param', 'tag'), fc.constantFrom('=', '!=', 'LIKE', 'ILIKE'), text)
      .map(([entity, operator, [mark, value]]) => ({ entity, operator, value, source: quoted(mark, value) })),
    fc
      .tuple(fc.constantFrom('param', 'tag'), fc.constantFrom('IS NULL', 'IS NOT NULL'))
      .map(([entity, operator]) => ({ entity, operator, value: null, source: '' })),
  )
  .chain((one) =>
    fc.tuple(key, fc.constantFrom('`', '"', "'"), spaced).map(([name, mark, space]) => ({
      expected: comparison(one.entity, name, one.operator, one.value) as Comparison,
      source: `${one.entity}s.${quoted(mark, name)}${space}${one.operator}${space}${one.source}`,
    })),
  );

describe('whatever comes', () => {
  test('what is written is what is parsed, whatever keys and values hold', () => {
    fc.assert(
      fc.property(fc.array(written, { minLength: 1, maxLength: 5 }), spaced, (all, space) => {
        const source = all.map((one) => one.source).join(`${space}and${space}`);
        expect(parse(source)).toEqual(all.map((one) => one.expected));
      }),
      { numRuns: 500 },
    );
  });

  test('anything else is refused with a reason, never a crash, in time that grows with its length', () => {
    const pieces = fc.constantFrom(
      'metrics',
      'params',
      'tags',
      '.',
      'a',
      '`',
      "'",
      '"',
      '=',
      '!=',
      '>',
      '1',
      '-1e5',
      'NaN',
      'AND',
      'OR',
      'IN',
      '(',
      ')',
      ',',
      'NOT',
      'IS',
      'NULL',
      ' ',
      'LIKE',
      '\u0000',
      '€',
      '--',
      ';',
      'run_id',
      '\\',
    );
    const anything = fc.oneof(
      fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(' ')),
      fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary', maxLength: 60 }),
    );
    fc.assert(
      fc.property(anything, (source) => {
        try {
          for (const { field } of parse(source)) expect(field.key).not.toBeUndefined();
        } catch (error) {
          expect(isAppError(error) && error.code).toBe('invalid_filter');
        }
      }),
      { numRuns: 2_000 },
    );
    const started = performance.now();
    for (const hostile of [
      "'".repeat(99_999),
      '1'.repeat(99_999),
      '('.repeat(99_999),
      '+'.repeat(99_999),
      'a.'.repeat(49_999),
    ])
      expect(refusal(hostile)).toMatch(/invalid_filter/);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
