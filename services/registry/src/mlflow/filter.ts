import { AppError } from '@millrace/contracts';
import type { Token } from './filter-tokens.ts';
import { tokenize } from './filter-tokens.ts';

/** Comparisons that one filter may join by AND; each is a condition that Postgres plans. */
export const COMPARISONS_MAX = 50;
/** Values of one IN list. */
export const LIST_VALUES_MAX = 2_000;

export const operators = [
  '=',
  '!=',
  '>',
  '>=',
  '<',
  '<=',
  'LIKE',
  'ILIKE',
  'IN',
  'NOT IN',
  'IS NULL',
  'IS NOT NULL',
] as const;
export type Operator = (typeof operators)[number];
export type Entity = 'attribute' | 'metric' | 'param' | 'tag' | 'dataset';

/** What a comparison or an order is about; `key` is an attribute of the dialect or any key of the entity. */
export type Field = { readonly entity: Entity; readonly key: string };

/** One condition; a filter is all of them joined by AND. A list belongs to IN and NOT IN, null to IS (NOT) NULL. */
export type Comparison = {
  readonly field: Field;
  readonly operator: Operator;
  readonly value: string | number | readonly string[] | null;
};

/** `text` is compared as text, `number` with numbers, `id` only for equality and lists. */
export type AttributeKind = 'text' | 'number' | 'id';

/** What a search knows: its attributes by name (with other spellings of them) and its other entities. */
export type FilterDialect = {
  readonly attributes: Readonly<Record<string, AttributeKind>>;
  readonly spellings?: Readonly<Record<string, string>>;
  readonly entities: readonly Entity[];
  /** Attributes beside those of kind `id` that may be compared with a list. */
  readonly lists?: readonly string[];
};

const ENTITY_NAMES: Readonly<Record<string, Entity>> = {
  attribute: 'attribute',
  attributes: 'attribute',
  attr: 'attribute',
  run: 'attribute',
  metric: 'metric',
  metrics: 'metric',
  param: 'param',
  params: 'param',
  parameter: 'param',
  parameters: 'param',
  tag: 'tag',
  tags: 'tag',
  dataset: 'dataset',
  datasets: 'dataset',
};
const NUMERIC = ['=', '!=', '>', '>=', '<', '<='] as const;
const TEXTUAL = ['=', '!=', 'LIKE', 'ILIKE'] as const;
const LISTS = ['IN', 'NOT IN'] as const;
const PRESENCE = ['IS NULL', 'IS NOT NULL'] as const;
const DATASET_KEYS = ['name', 'digest', 'context'];

/** Reads tokens one after the other; the words of its errors say what to write. */
export class TokenReader {
  readonly #tokens: readonly Token[];
  readonly #text: string;
  #next = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokenize(text);
  }

  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#next + ahead];
  }

  take(): Token | undefined {
    const token = this.#tokens[this.#next];
    this.#next += 1;
    return token;
  }

  /** Takes the next token when it is this bare word in any case, or this punctuation. */
  takeIf(value: string): boolean {
    const token = this.peek();
    const isSame =
      (token?.kind === 'word' || token?.kind === 'punctuation') && token.value.toUpperCase() === value;
    if (isSame) this.#next += 1;
    return isSame;
  }

  fail(message: string): never {
    const token = this.peek();
    const place = token === undefined ? 'at its end' : `at position ${token.at}`;
    const shown = this.#text.length > 200 ? `${this.#text.slice(0, 200)}…` : this.#text;
    throw new AppError('invalid_filter', `Invalid clause ${JSON.stringify(shown)} ${place}: ${message}`);
  }
}

/**
 * Parses a filter of MLflow's searches: comparisons joined by AND. An empty one has none.
 * @throws AppError `invalid_filter` that says where and what to write instead
 */
export function parseFilter(text: string | undefined, dialect: FilterDialect): Comparison[] {
  if (text === undefined || text.trim() === '') return [];
  const reader = new TokenReader(text);
  const comparisons = [parseComparison(reader, dialect)];
  while (reader.peek() !== undefined) {
    if (!reader.takeIf('AND')) {
      if (reader.takeIf('OR'))
        reader.fail('OR is not supported; search twice, or use IN where it is allowed.');
      reader.fail('join comparisons by AND.');
    }
    comparisons.push(parseComparison(reader, dialect));
    if (comparisons.length > COMPARISONS_MAX)
      reader.fail(`a filter has at most ${COMPARISONS_MAX} comparisons.`);
  }
  return comparisons;
}

/** Reads `entity.key` or a bare attribute; quotes of any kind may be around either part. */
export function parseField(reader: TokenReader, dialect: FilterDialect): Field {
  const first = reader.peek();
  if (first === undefined || !['word', 'name', 'text'].includes(first.kind))
    reader.fail('write a field such as metrics.loss, params.lr, tags.owner or attributes.status.');
  reader.take();
  if (!reader.takeIf('.')) return attribute(reader, dialect, first.value);
  const entity = Object.hasOwn(ENTITY_NAMES, first.value) ? ENTITY_NAMES[first.value] : undefined;
  if (entity === undefined || (entity !== 'attribute' && !dialect.entities.includes(entity)))
    reader.fail(
      `'${first.value}' is no kind of field here; there are ${['attribute', ...dialect.entities].join(', ')}.`,
    );
  const key = parseKey(reader);
  if (entity === 'attribute') return attribute(reader, dialect, key);
  if (entity === 'dataset' && !DATASET_KEYS.includes(key))
    reader.fail(`a dataset has ${DATASET_KEYS.join(', ')}, not '${key}'.`);
  return { entity, key };
}

/** A key in quotes, or bare parts joined by dots as in tags.mlflow.source.name. */
function parseKey(reader: TokenReader): string {
  const first = reader.peek();
  if (first?.kind === 'name' || first?.kind === 'text') {
    reader.take();
    return first.value;
  }
  const parts: string[] = [];
  do {
    const part = reader.peek();
    if (part?.kind !== 'word')
      reader.fail('write a key after the dot, in backticks if it has other characters.');
    reader.take();
    parts.push(part.value);
  } while (reader.takeIf('.'));
  return parts.join('.');
}

function attribute(reader: TokenReader, dialect: FilterDialect, given: string): Field {
  const spelt = dialect.spellings;
  const key = spelt !== undefined && Object.hasOwn(spelt, given) ? (spelt[given] as string) : given;
  if (Object.hasOwn(dialect.attributes, key)) return { entity: 'attribute', key };
  return reader.fail(
    `there is no attribute '${given}'; there are ${Object.keys(dialect.attributes).join(', ')}.`,
  );
}

function parseComparison(reader: TokenReader, dialect: FilterDialect): Comparison {
  const field = parseField(reader, dialect);
  const operator = parseOperator(reader);
  const kind = kindOf(field, dialect);
  const allowed = operatorsOf(field, kind, dialect);
  if (!allowed.includes(operator))
    reader.fail(
      `${field.entity} '${field.key}' cannot be compared by ${operator}; use ${allowed.join(', ')}.`,
    );
  if (operator === 'IS NULL' || operator === 'IS NOT NULL') return { field, operator, value: null };
  if (operator === 'IN' || operator === 'NOT IN') return { field, operator, value: parseList(reader) };
  return {
    field,
    operator,
    value: kind === 'number' ? parseNumber(reader, field, operator) : parseText(reader),
  };
}

function parseOperator(reader: TokenReader): Operator {
  const token = reader.peek();
  if (token?.kind === 'operator' && (NUMERIC as readonly string[]).includes(token.value)) {
    reader.take();
    return token.value as Operator;
  }
  if (reader.takeIf('LIKE')) return 'LIKE';
  if (reader.takeIf('ILIKE')) return 'ILIKE';
  if (reader.takeIf('IN')) return 'IN';
  if (reader.takeIf('NOT') && reader.takeIf('IN')) return 'NOT IN';
  if (reader.takeIf('IS')) {
    const isNot = reader.takeIf('NOT');
    if (reader.takeIf('NULL')) return isNot ? 'IS NOT NULL' : 'IS NULL';
  }
  return reader.fail(`an operator must follow: ${operators.join(', ')}.`);
}

function kindOf(field: Field, dialect: FilterDialect): AttributeKind {
  if (field.entity === 'metric') return 'number';
  return field.entity === 'attribute' ? (dialect.attributes[field.key] ?? 'text') : 'text';
}

function operatorsOf(field: Field, kind: AttributeKind, dialect: FilterDialect): readonly Operator[] {
  if (kind === 'number') return NUMERIC;
  if (kind === 'id') return ['=', '!=', ...LISTS];
  if (field.entity === 'param' || field.entity === 'tag') return [...TEXTUAL, ...PRESENCE];
  const hasLists = field.entity === 'dataset' || dialect.lists?.includes(field.key) === true;
  return hasLists ? [...TEXTUAL, ...LISTS] : TEXTUAL;
}

function parseNumber(reader: TokenReader, field: Field, operator: Operator): number {
  const token = reader.peek();
  if (token?.kind !== 'number')
    return reader.fail(`'${field.key}' is compared with a number, without quotes.`);
  const value = numberOf(token.value);
  if (field.entity === 'attribute' && !Number.isFinite(value))
    reader.fail(`'${field.key}' is compared with a finite number.`);
  if (Number.isNaN(value) && operator !== '=' && operator !== '!=')
    reader.fail('NaN has no order; use = or !=.');
  reader.take();
  return value;
}

function numberOf(text: string): number {
  if (/nan$/i.test(text)) return Number.NaN;
  if (/inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return Number(text);
}

function parseText(reader: TokenReader): string {
  const token = reader.peek();
  if (token?.kind !== 'text') return reader.fail("write the value as text in quotes, such as 'value'.");
  reader.take();
  return token.value;
}

function parseList(reader: TokenReader): string[] {
  if (!reader.takeIf('(')) reader.fail("write the list as ('a', 'b').");
  const values: string[] = [];
  do {
    if (reader.peek()?.value === ')' && values.length > 0) break;
    values.push(parseText(reader));
    if (values.length > LIST_VALUES_MAX) reader.fail(`a list has at most ${LIST_VALUES_MAX} values.`);
  } while (reader.takeIf(','));
  if (!reader.takeIf(')')) reader.fail('close the list with ).');
  return values;
}
