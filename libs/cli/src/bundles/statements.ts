import { AppError } from '@millrace/contracts';
import type { SignedStatements, StatementName } from '@millrace/integrity';
import type { BundleParts } from '@millrace/sdk';

/** The signed statements of a version by name. Throws `manifest_mismatch` when one that every version has is missing. */
export function statementsOf({ attestations }: Pick<BundleParts, 'attestations'>): SignedStatements {
  const find = (name: StatementName) => attestations.find((one) => one.name === name)?.bundle;
  const [provenance, meta, conversion] = [find('provenance'), find('meta'), find('conversion')];
  if (provenance === undefined || meta === undefined) {
    throw new AppError(
      'manifest_mismatch',
      `The version has no signed statement of its ${provenance === undefined ? 'provenance' : 'meta'}.`,
    );
  }
  return { provenance, meta, ...(conversion !== undefined && { conversion }) };
}
