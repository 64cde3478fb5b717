import type { SignatureBundle, VersionIdentity } from '@millrace/integrity';
import { signStatement, versionIdentityStatement } from '@millrace/integrity';
import type { ModelRow } from '../models/model.table.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { VersionRow } from './version.table.ts';
import { versionIds } from './version-ids.ts';

type Named = Pick<VersionRow, 'id' | 'label' | 'ordinal' | 'packageDigest' | 'servingFile'>;

/** What the names of a version are bound to. */
export function identityOf(model: ModelRow, version: Named): VersionIdentity {
  const { packageDigest, servingFile } = version;
  return { tenant: model.tenant, ...versionIds(model, { version }), packageDigest, servingFile };
}

/** Signs it. @throws AppError `signer_unavailable` */
export function signIdentity(key: SigningKey, model: ModelRow, version: Named): Promise<SignatureBundle> {
  return signStatement(versionIdentityStatement(identityOf(model, version)), key.signer);
}
