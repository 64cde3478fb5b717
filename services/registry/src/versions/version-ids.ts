import type { ModelRow } from '../models/model.table.ts';
import type { VersionWithPackage } from './version.repository.ts';

/** The fields by which every event and reply names a version. */
export function versionIds(model: ModelRow, { version }: VersionWithPackage) {
  return {
    modelVersionId: version.id,
    modelId: model.id,
    model: model.name,
    version: version.label,
    ordinal: version.ordinal,
  };
}
