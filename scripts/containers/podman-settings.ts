import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files a container may open and processes a user may have in it: below what most machines let root raise. */
const ULIMITS = '["nofile=20000:20000", "nproc=8192:8192"]';

/**
 * Settings that give Podman images, containers and networks of its own under `folder`, so that what is built and run here
 * touches nothing else on the machine and is removed with the folder. Returns the variables that name them.
 */
export function podmanSettings(folder: string): NodeJS.ProcessEnv {
  const at = (name: string): string => join(folder, name);
  for (const name of ['networks', 'storage', 'run', 'libpod', 'tmp'])
    mkdirSync(at(name), { recursive: true });
  const text = (value: string): string => JSON.stringify(value);
  // runc, cgroupfs and a file of events work where there is neither systemd nor version 2 of control groups
  const containers = `[containers]
default_ulimits = ${ULIMITS}
log_driver = "k8s-file"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = ${text(at('libpod'))}
image_copy_tmp_dir = ${text(at('tmp'))}

[network]
network_backend = "netavark"
network_config_dir = ${text(at('networks'))}
`;
  const storage = `[storage]
driver = "overlay"
graphroot = ${text(at('storage'))}
runroot = ${text(at('run'))}
`;
  // a short name is an image of this machine or none: nothing is asked of a registry that was not named
  const registries = 'unqualified-search-registries = []\nshort-name-mode = "permissive"\n';
  writeFileSync(at('containers.conf'), containers);
  writeFileSync(at('storage.conf'), storage);
  writeFileSync(at('registries.conf'), registries);
  return {
    CONTAINERS_CONF: at('containers.conf'),
    CONTAINERS_STORAGE_CONF: at('storage.conf'),
    CONTAINERS_REGISTRIES_CONF: at('registries.conf'),
    TMPDIR: at('tmp'),
  };
}
