import { createHash } from 'node:crypto';

/** SHA-256 of a spec's JSON with sorted keys; tells whether two submissions ask for the same. */
export function specDigest(spec: unknown): string {
  const sorted = JSON.stringify(spec, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(sorted).digest('hex');
}
