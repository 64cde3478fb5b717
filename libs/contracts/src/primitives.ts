import type { Static } from 'typebox';
import Type from 'typebox';

/** SHA-256 as 64 lower-case hex digits. */
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
/** Any UUID in its canonical text form. */
export const Uuid = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
});
/** An instant in ISO 8601 with zone. */
export const Timestamp = Type.String({ format: 'date-time' });
/** A model, dataset or pool name: 1 to 255 characters without slash, backslash, colon or control characters. */
export const Name = Type.String({
  minLength: 1,
  maxLength: 255,
  pattern: '^[^/\\\\:\\u0000-\\u001f\\u007f]+$',
});

/** One immutable file of a package, dataset version or job result; the bytes are at `cas/<2 hex>/<sha256>`. */
export const ArtifactRef = Type.Object({
  path: Type.String({
    minLength: 1,
    maxLength: 1024,
    description: 'Relative path inside its package, / separated.',
  }),
  sha256: Sha256,
  sizeBytes: Type.Integer({ minimum: 0 }),
});
export type ArtifactRef = Static<typeof ArtifactRef>;

/** Free-form JSON object. */
export const JsonObject = Type.Record(Type.String(), Type.Unknown());

/** An error as it crosses a wire: a code of the catalogue and a sentence. */
export const WireError = Type.Object({
  code: Type.String(),
  message: Type.String(),
  retryable: Type.Optional(Type.Boolean()),
});
export type WireError = Static<typeof WireError>;
