import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { PLATFORM_TENANT } from '@millrace/service-kit';

/** No name of a model has it, so that no tenant can name a model of another. */
const SEPARATOR = '/';

/**
 * What this server calls a model: its name where it is of the platform's own tenant, else `<tenant>/<name>`. Whatever is
 * kept or asked by name is kept and asked by this one. Throws `invalid_name` for a name that has a slash.
 */
export function servedName(tenant: string, model: string): string {
  if (model.includes(SEPARATOR))
    throw new AppError('invalid_name', 'A model name has no slash; name one of your own models.');
  return tenant === PLATFORM_TENANT ? model : tenant + SEPARATOR + model;
}

/** Whose model it is, and what they call it. */
export function ownerOf(served: string): { tenant: string; model: string } {
  const at = served.indexOf(SEPARATOR);
  if (at === -1) return { tenant: PLATFORM_TENANT, model: served };
  return { tenant: served.slice(0, at), model: served.slice(at + 1) };
}

/** Whose version it is. */
export const tenantOf = ({ tenant = PLATFORM_TENANT }: Pick<ResolvedVersion, 'tenant'>): string => tenant;

/** What this server calls the model of a version. */
export const servedNameOf = (version: Pick<ResolvedVersion, 'tenant' | 'model'>): string =>
  servedName(tenantOf(version), version.model);

/** What of a list is the tenant's, under the names that it uses itself. */
export function ofTenant<T extends { readonly name: string }>(tenant: string, entries: readonly T[]): T[] {
  return entries.flatMap((entry) => {
    const owner = ownerOf(entry.name);
    return owner.tenant === tenant ? [{ ...entry, name: owner.model }] : [];
  });
}
