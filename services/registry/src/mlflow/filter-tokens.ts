import { AppError } from '@millrace/contracts';

/** Longest filter or order_by clause in characters: 2,000 run ids in one IN list fit. */
export const CLAUSE_LENGTH_MAX = 100_000;

/** `word` is bare, `text` was in single or double quotes, `name` in backticks. `at` is its place, for messages. */
export type Token = {
  readonly kind: 'word' | 'text' | 'name' | 'number' | 'operator' | 'punctuation';
  readonly value: string;
  readonly at: number;
};

const SPACE = /\s+/y;
const NUMBER = /[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|(?:inf(?:inity)?|nan)\b)(?![\w$])/iy;
const WORD = /[\p{L}_$\d][\p{L}\p{N}_$]*/uy;
const OPERATOR = /[=!<>]+/y;
const PUNCTUATION = /[.,()]/y;
/** A quote inside is written twice. */
const QUOTED = /'((?:[^']|'')*)'|"((?:[^"]|"")*)"|`((?:[^`]|``)*)`/y;

const KINDS = [
  ['number', NUMBER],
  ['word', WORD],
  ['operator', OPERATOR],
  ['punctuation', PUNCTUATION],
] as const;

/**
 * Cuts a filter or an order_by clause into tokens.
 * @throws AppError `invalid_filter` at the first character that belongs to none
 */
export function tokenize(text: string): Token[] {
  if (text.length > CLAUSE_LENGTH_MAX)
    throw new AppError(
      'invalid_filter',
      `A filter has at most ${CLAUSE_LENGTH_MAX} characters; split the search.`,
    );
  if (text.includes('\0')) throw new AppError('invalid_filter', 'A filter cannot hold the character U+0000.');
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const space = matchAt(SPACE, text, at);
    const token = space === undefined ? tokenAt(text, at, tokens.at(-1)) : undefined;
    if (token !== undefined) tokens.push(token.token);
    at += (space?.[0] ?? token?.source ?? '').length;
  }
  return tokens;
}

function tokenAt(text: string, at: number, before: Token | undefined): { token: Token; source: string } {
  const quoted = matchAt(QUOTED, text, at);
  if (quoted !== undefined) {
    const [source, single, double, back] = quoted;
    const mark = source.charAt(0);
    const value = (single ?? double ?? back ?? '').replaceAll(mark + mark, mark);
    return { token: { kind: mark === '`' ? 'name' : 'text', value, at }, source };
  }
  for (const [kind, pattern] of KINDS) {
    // what follows a dot is a key, even `metrics.1`; and a dot begins a number only where a value may stand
    const isKey = before?.kind === 'punctuation' && before.value === '.';
    const isSeparator = text[at] === '.' && before?.kind !== 'operator';
    if (kind === 'number' && (isKey || isSeparator)) continue;
    const found = matchAt(pattern, text, at);
    if (found !== undefined) return { token: { kind, value: found[0], at }, source: found[0] };
  }
  const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
  const isQuote = ["'", '"', '`'].includes(character);
  throw new AppError(
    'invalid_filter',
    isQuote
      ? `The quote ${character} at position ${at} is not closed; write a quote inside a text twice.`
      : `'${character}' at position ${at} has no meaning here; put keys with such characters in backticks.`,
  );
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}
