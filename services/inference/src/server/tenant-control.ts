import { ofTenant, servedName } from '../models/served-name.ts';
import type { ServerControl } from './server-control.ts';

/** The server as a tenant sees it: its own models, under its own names. */
export function controlOf(control: ServerControl, tenant: string): ServerControl {
  const own = (name: string): string => servedName(tenant, name);
  return {
    index: async () => ofTenant(tenant, await control.index()),
    load: (name, version) => control.load(own(name), version),
    unload: (name, version) => control.unload(own(name), version),
    statistics: async (name, version) =>
      ofTenant(tenant, await control.statistics(name === undefined ? undefined : own(name), version)),
    config: (name, version) => control.config(own(name), version),
  };
}
