import { AppError } from '@millrace/contracts';
import { canonicalJson } from './canonical-json.ts';
import { isSha256 } from './digest.ts';

/** `_type` of every in-toto statement. */
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';

/** One thing a statement speaks about; the digest is SHA-256 as 64 lower-case hex digits. */
export type StatementSubject = { readonly name: string; readonly digest: { readonly sha256: string } };

/** An in-toto Statement v1: a predicate of some type about subjects known by digest. */
export type Statement = {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly StatementSubject[];
  readonly predicateType: string;
  readonly predicate: Readonly<Record<string, unknown>>;
};

/** The bytes that are signed for a statement: its canonical JSON, so equal statements give equal bytes. */
export function encodeStatement(statement: Statement): Buffer {
  return Buffer.from(canonicalJson(statement), 'utf8');
}

/** Reads a signed payload. Throws `signature_malformed` unless it is an in-toto Statement v1 with SHA-256 subjects. */
export function decodeStatement(payload: Uint8Array): Statement {
  const value = parseObject(payload, 'statement');
  const { _type: type, subject, predicateType, predicate } = value;
  if (type !== STATEMENT_TYPE) throw malformed(`its statement is not of the type ${STATEMENT_TYPE}`);
  if (!Array.isArray(subject) || subject.length === 0 || !subject.every(isSubject)) {
    throw malformed('its statement names no subject with a SHA-256 digest');
  }
  if (typeof predicateType !== 'string' || !isObject(predicate))
    throw malformed('its statement has no predicate');
  return { _type: STATEMENT_TYPE, subject, predicateType, predicate };
}

/** Strict UTF-8 JSON object, or `signature_malformed` that names `what`. */
export function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw malformed(`its ${what} is not JSON`);
  }
  if (!isObject(value)) throw malformed(`its ${what} is not a JSON object`);
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The error of every signature that cannot even be read; `why` continues "The signature cannot be used: ". */
export function malformed(why: string): AppError {
  return new AppError('signature_malformed', `The signature cannot be used: ${why}. Sign the package again.`);
}

function isSubject(value: unknown): value is StatementSubject {
  return (
    isObject(value) &&
    typeof value.name === 'string' &&
    isObject(value.digest) &&
    isSha256(value.digest.sha256)
  );
}
