import type { ModelRow } from '../models/model.table.ts';
import type { VersionRow } from './version.table.ts';

/** The fields by which every event and reply names a version. */
export function versionIds(
  model: ModelRow,
  { version }: { readonly version: Pick<VersionRow, 'id' | 'label' | 'ordinal'> },
) {
  return {
    modelVersionId: version.id,
    modelId: model.id,
    model: model.name,
    version: version.label,
    ordinal: version.ordinal,
  };
}
