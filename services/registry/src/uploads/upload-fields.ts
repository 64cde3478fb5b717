import type { Stage } from '@millrace/contracts';
import { AppError, Stage as StageSchema } from '@millrace/contracts';
import { isSha256 } from '@millrace/integrity';
import Value from 'typebox/value';
import { assertNames } from '../registration/labels.ts';

/** Names of the text fields of an upload. */
export const uploadFields: ReadonlySet<string> = new Set([
  'modelId',
  'version',
  'framework',
  'inputSchema',
  'outputSchema',
  'metadata',
  'stage',
  'sha256',
]);

/** The fields of an upload, checked. `modelId` is the model's name, `version` its label. */
export type UploadRequest = {
  readonly modelId: string;
  readonly version: string;
  readonly framework: 'onnx' | 'tensorflow';
  readonly stage: Stage;
  readonly inputSchema: string | undefined;
  readonly outputSchema: string | undefined;
  readonly metadata: string | undefined;
  readonly sha256: string | undefined;
};

/**
 * Checks the text fields of an upload.
 * @throws AppError `invalid_request`, `invalid_name`, `unsupported_framework`
 */
export function readUploadFields(fields: ReadonlyMap<string, string>): UploadRequest {
  const modelId = required(fields, 'modelId');
  const version = required(fields, 'version');
  assertNames(modelId, version);
  const framework = frameworkOf(required(fields, 'framework'));
  const stage = fields.get('stage') ?? 'development';
  if (!Value.Check(StageSchema, stage))
    throw new AppError('invalid_request', 'stage must be development, staging, production or archived.');
  const sha256 = fields.get('sha256')?.toLowerCase();
  if (sha256 !== undefined && !isSha256(sha256))
    throw new AppError('invalid_request', 'sha256 must be 64 hex digits.');
  return {
    modelId,
    version,
    framework,
    stage,
    inputSchema: jsonObject(fields, 'inputSchema'),
    outputSchema: jsonObject(fields, 'outputSchema'),
    metadata: text(fields, 'metadata'),
    sha256,
  };
}

function required(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined || value === '')
    throw new AppError('invalid_request', `The field ${name} is missing.`);
  return value;
}

function frameworkOf(framework: string): UploadRequest['framework'] {
  if (framework === 'onnx' || framework === 'tensorflow') return framework;
  throw new AppError(
    'unsupported_framework',
    'framework must be onnx or tensorflow; convert other models to ONNX first.',
  );
}

/** Postgres keeps no NUL in texts. */
function text(fields: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = fields.get(name);
  if (value?.includes('\u0000'))
    throw new AppError('invalid_request', `The field ${name} holds a NUL character.`);
  return value === '' ? undefined : value;
}

function jsonObject(fields: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = text(fields, name);
  if (value === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch (cause) {
    throw new AppError('invalid_json', `The field ${name} is not valid JSON.`, { cause });
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return value;
  throw new AppError('invalid_request', `The field ${name} must be a JSON object, such as {"inputs":[…]}.`);
}
