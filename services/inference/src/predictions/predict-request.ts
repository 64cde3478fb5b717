import { AppError, isValidName } from '@millrace/contracts';
import { parseSlice } from '../tensors/json-cursor.ts';
import type { Member } from '../tensors/predict-body.ts';
import { assertEnd, objectMembers } from '../tensors/predict-body.ts';
import { readEntities } from './feature-inputs.ts';
import type { EntityKeys } from './feature-reader.ts';

/** Longest user and session id. */
const ID_LENGTH_MAX = 255;
const FIELDS: ReadonlySet<string> = new Set([
  'modelId',
  'version',
  'features',
  'entities',
  'userId',
  'sessionId',
]);

/** The body of `/predict` with its features still unread: their types are known once the model is. */
export type PredictRequest = {
  modelId: string;
  version?: string;
  userId?: string;
  sessionId?: string;
  /** Where the features begin in the body. */
  featuresAt: number;
  /** Whose values inputs are made of. */
  entities?: EntityKeys;
};

function textOf(bytes: Buffer, member: Member, lengthMax: number): string {
  const value = parseSlice(bytes, member.start, member.end);
  if (typeof value !== 'string' || value.length === 0 || value.length > lengthMax) {
    throw new AppError(
      'invalid_request',
      `body.${member.key} must be a text of 1 to ${lengthMax} characters.`,
    );
  }
  return value;
}

function nameOf(bytes: Buffer, member: Member): string {
  const value = textOf(bytes, member, ID_LENGTH_MAX);
  if (isValidName(value)) return value;
  throw new AppError(
    'invalid_name',
    `body.${member.key} has a slash, backslash, colon or control character.`,
  );
}

/**
 * Reads everything of a `/predict` body but the features.
 * Throws `invalid_json`, `unknown_field`, `invalid_request` or `invalid_name`.
 */
export function readPredictRequest(bytes: Buffer): PredictRequest {
  const { members, end } = objectMembers(bytes);
  assertEnd(bytes, end);
  const byKey = new Map(members.map((member) => [member.key, member]));
  const unknown = members.find(({ key }) => !FIELDS.has(key));
  if (unknown !== undefined) {
    throw new AppError(
      'unknown_field',
      `body has a field '${unknown.key}' that is not known here; remove it.`,
      {
        details: { field: unknown.key },
      },
    );
  }
  const modelId = byKey.get('modelId');
  const features = byKey.get('features');
  if (modelId === undefined)
    throw new AppError('invalid_request', 'body.modelId is missing: the name of the model.');
  if (features === undefined || bytes[features.start] !== 123) {
    throw new AppError('invalid_request', 'body.features must be an object of input name to values.');
  }
  const entities = byKey.get('entities');
  const optional = (key: 'version' | 'userId' | 'sessionId'): Record<string, string> => {
    const member = byKey.get(key);
    if (member === undefined) return {};
    return { [key]: key === 'version' ? nameOf(bytes, member) : textOf(bytes, member, ID_LENGTH_MAX) };
  };
  return {
    modelId: nameOf(bytes, modelId),
    ...optional('version'),
    ...optional('userId'),
    ...optional('sessionId'),
    ...(entities !== undefined && { entities: readEntities(bytes, entities) }),
    featuresAt: features.start,
  };
}
