import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { nodeFlags, REPOSITORY_ROOT, type ServiceName } from '@millrace/embedded';
import { IMAGES } from '../../scripts/containers/catalog.ts';
import { lastOf, layersOf, stagesOf } from './dockerfile.ts';

const FILES = [...new Set(IMAGES.map(({ dockerfile }) => dockerfile))];
const stages = new Map(FILES.map((file) => [file, stagesOf(file)]));
const layers = IMAGES.map((image) => ({
  ...image,
  layers: layersOf(stages.get(image.dockerfile) ?? new Map(), image.name),
}));

test('every image has a target, which is run by a user without rights, without a shell, and is watched', () => {
  expect(layers.filter((image) => image.layers.length === 0).map(({ name }) => name)).toEqual([]);
  for (const { name, layers: own } of layers) {
    expect([name, lastOf(own, 'USER')]).toEqual([name, '10001:10001']);
    expect([name, JSON.parse(lastOf(own, 'ENTRYPOINT') ?? 'null')]).toEqual([name, expect.any(Array)]);
    expect([name, lastOf(own, 'HEALTHCHECK')]).toEqual([name, expect.stringMatching(/CMD \[|NONE/)]);
    const labels = own.filter((one) => one.name === 'LABEL').map(({ text }) => text);
    expect(labels.join(' ')).toContain(`org.opencontainers.image.title="millrace/${name}"`);
  }
});

test.each(layers.filter(({ kind }) => kind === 'service'))('$name runs as the launcher runs it', (image) => {
  const [node, ...flags] = JSON.parse(lastOf(image.layers, 'ENTRYPOINT') ?? '[]') as string[];
  expect(node).toBe('/usr/local/bin/node');
  const own = nodeFlags(image.name as ServiceName);
  expect(flags).toEqual([
    '--env-file-if-exists=/run/millrace/service.env',
    ...own,
    `services/${image.name}/src/main.ts`,
  ]);
});

test.each(layers.filter(({ kind }) => kind === 'worker'))('$name runs a module that there is', (image) => {
  const [, start, , module = ''] = JSON.parse(lastOf(image.layers, 'ENTRYPOINT') ?? '[]') as string[];
  expect(start).toBe('/app/deploy/docker/worker/start_worker.py');
  const files = globSync(`services/*/src/${module.replace('.', '/')}.py`, { cwd: REPOSITORY_ROOT });
  expect(files).toHaveLength(1);
});

test('what is copied exists, and what is copied from another stage names one', () => {
  const faults: string[] = [];
  for (const [file, found] of stages)
    for (const { name, instructions } of found.values())
      for (const { text } of instructions.filter((one) => one.name === 'COPY')) {
        const from = /--from=(\S+)/.exec(text)?.[1];
        const paths = text.split(/\s+/).filter((word) => !word.startsWith('--'));
        if (from !== undefined && !found.has(from)) faults.push(`${file} ${name}: no stage ${from}`);
        if (from !== undefined && from !== 'source') continue;
        for (const path of paths.slice(0, -1).map((one) => one.replace(/^\/source\//, '')))
          if (!path.startsWith('/') && !existsSync(join(REPOSITORY_ROOT, path)))
            faults.push(`${file} ${name}: ${path} does not exist`);
      }
  expect(faults).toEqual([]);
});

test('what an image is from is a stage or can be named by whoever builds it', () => {
  const faults: string[] = [];
  for (const [file, found] of stages)
    for (const { name, from } of found.values())
      if (!found.has(from) && !/^\$\{\w+_IMAGE\}$/.test(from)) faults.push(`${file} ${name} is from ${from}`);
  expect(faults).toEqual([]);
});
