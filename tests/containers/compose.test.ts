import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { REPOSITORY_ROOT, SERVICE_NAMES } from '@millrace/embedded';
import { loadConfig } from '@millrace/service-kit';
import { parse } from 'yaml';
import { IMAGES } from '../../scripts/containers/catalog.ts';
import { secretVariables } from '../../scripts/containers/image/secret-variables.ts';
import { environmentOf, layersOf, stagesOf } from './dockerfile.ts';

type Container = {
  image: string;
  build: { context: string; dockerfile: string; target: string };
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  privileged?: boolean;
};

const text = readFileSync(join(REPOSITORY_ROOT, 'infra', 'compose.yaml'), 'utf8');
const compose = parse(text, { merge: true }) as {
  services: Record<string, Container>;
  volumes: Record<string, null>;
};
const containers = Object.entries(compose.services);

const SECRETS = {
  postgresPassword: 'a',
  natsServicesPassword: 'b',
  natsWorkerPassword: 'c',
  s3ServicesAccessKeyId: 'd',
  s3ServicesSecretAccessKey: 'e',
  s3WorkerAccessKeyId: 'f',
  s3WorkerSecretAccessKey: 'g',
  s3InternalKeys: [],
};

/** A value of the file as compose reads it when nothing is set outside. */
const withDefaults = (value: string): string => value.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1');

/** All variables that the process of a container sees. */
function environmentIn(name: string, user: 'services' | 'worker'): Record<string, string> {
  const { build, environment = {} } = compose.services[name] as Container;
  const fromImage = environmentOf(layersOf(stagesOf(build.dockerfile), build.target));
  const own = Object.entries(environment).map(([key, value]) => [key, withDefaults(value)]);
  const secret = secretVariables(SECRETS, user)
    .trim()
    .split('\n')
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
  return Object.fromEntries([...Object.entries(fromImage), ...own, ...secret]);
}

/** Variables with passwords that services are given alike, whichever of them they need. */
const GIVEN_ALIKE = ['MILLRACE_S3_ACCESS_KEY_ID', 'MILLRACE_S3_SECRET_ACCESS_KEY'];

test.each(SERVICE_NAMES)(
  '%s: each variable is one that it reads, and none that it needs is missing',
  async (name) => {
    const module = (await import(`../../services/${name}/src/config.ts`)) as Record<string, unknown>;
    const schema = Object.values(module).find(
      (value): value is Parameters<typeof loadConfig>[0] =>
        typeof value === 'object' && value !== null && 'properties' in value,
    );
    if (schema === undefined) throw new Error(`${name} has no schema`);
    const { config, unknownNames } = loadConfig(schema, environmentIn(name, 'services'));
    expect(unknownNames.filter((one) => !GIVEN_ALIKE.includes(one))).toEqual([]);
    expect(config).toMatchObject({ host: '0.0.0.0', authMode: 'required' });
  },
);

const workers = IMAGES.filter(({ kind, name }) => kind === 'worker' && name in compose.services);

test.each(workers)(
  '$name: each variable is one that a worker reads, and none that it needs is missing',
  (image) => {
    const settings = readFileSync(
      join(REPOSITORY_ROOT, 'libs/worker-py/src/millrace_worker/settings.py'),
      'utf8',
    );
    const read: string[] = settings.match(/MILLRACE_\w+/g) ?? [];
    const needed = [...settings.matchAll(/required\(\s*"(MILLRACE_\w+)"/g)].map(([, name]) => name);
    const given = Object.keys(environmentIn(image.name, 'worker')).filter((name) =>
      name.startsWith('MILLRACE_'),
    );
    expect(needed.length).toBeGreaterThan(5);
    expect(needed.filter((name) => !given.includes(name ?? ''))).toEqual([]);
    expect(given.filter((name) => !read.includes(name))).toEqual([]);
  },
);

test('every container is of an image that is built here, under a version', () => {
  for (const [name, { image, build }] of containers) {
    const known = IMAGES.find((one) => one.name === name);
    expect([name, build]).toEqual([
      name,
      { context: '..', dockerfile: known?.dockerfile ?? '', target: known?.name ?? '' },
    ]);
    expect(withDefaults(image)).toBe(`millrace/${name}:${versionOf()}`);
  }
});

function versionOf(): string {
  return (JSON.parse(readFileSync(join(REPOSITORY_ROOT, 'package.json'), 'utf8')) as { version: string })
    .version;
}

test('no container may write to its image, has rights of root, or gains any', () => {
  for (const [name, container] of containers) {
    expect([
      name,
      container.read_only,
      container.cap_drop,
      container.security_opt,
      container.privileged,
    ]).toEqual([name, true, ['ALL'], ['no-new-privileges:true'], undefined]);
  }
});

test('ports are open on loopback unless another address is named', () => {
  const ports = containers.flatMap(([, container]) => container.ports ?? []);
  expect(ports.length).toBeGreaterThan(0);
  for (const port of ports) expect(withDefaults(port)).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
});

test('no password or key stands in the file', () => {
  const named = containers.flatMap(([name, { environment = {} }]) =>
    Object.keys(environment)
      .filter(
        (variable) =>
          /(PASSWORD|SECRET|TOKEN|_KEY|_KEY_ID|_URL)$/.test(variable) || variable.includes('SECRET'),
      )
      .map((variable) => `${name}: ${variable}`),
  );
  expect(named).toEqual([]);
  expect(text).not.toMatch(/:\/\/[^\s/:]+:[^\s/@]+@/);
});

test('every volume is declared, and private keys reach those alone that sign with them', () => {
  const mounts = containers.flatMap(([name, { volumes = [] }]) =>
    volumes.map((volume) => ({ name, volume: volume.split(':')[0] ?? '' })),
  );
  expect(mounts.filter(({ volume }) => !(volume in compose.volumes))).toEqual([]);
  const readers = (volume: string): string[] =>
    mounts.filter((mount) => mount.volume === volume && mount.name !== 'setup').map(({ name }) => name);
  expect(readers('platform-keys')).toEqual([]);
  expect(readers('registry-keys')).toEqual(['registry']);
  expect(readers('gateway-keys')).toEqual(['gateway']);
  expect(readers('workers-keys').every((name) => name.includes('worker'))).toBe(true);
});
