import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import { parse } from 'yaml';
import { objectsOf } from './rendered.ts';
import { workloadsOf } from './workloads.ts';

type Step = { uses?: string; run?: string; with?: Record<string, unknown>; env?: Record<string, string> };
type Job = {
  uses?: string;
  'timeout-minutes'?: number;
  steps?: Step[];
  strategy?: { matrix: { include: { image: string; file: string }[] } };
};
type Workflow = { permissions?: unknown; jobs: Record<string, Job> };

const files = globSync('.github/workflows/*.yaml', { cwd: REPOSITORY_ROOT }).sort();
const text = (file: string): string => readFileSync(join(REPOSITORY_ROOT, file), 'utf8');
const workflows = new Map(files.map((file) => [file, parse(text(file)) as Workflow]));
const jobs = [...workflows.values()].flatMap((workflow) => Object.values(workflow.jobs));
const steps = jobs.flatMap((job) => job.steps ?? []);

test('workflows give no more rights than they name, and end by themselves', () => {
  expect(files.length).toBe(3);
  for (const workflow of workflows.values()) expect(workflow.permissions).toEqual({ contents: 'read' });
  for (const job of jobs) expect(job.uses?.startsWith('./') || (job['timeout-minutes'] ?? 0) > 0).toBe(true);
});

test('actions are pinned to a commit and say its version', () => {
  for (const file of files)
    for (const [line] of text(file).matchAll(/^.*uses: (?!\.\/).*$/gm))
      expect(line).toMatch(/uses: [\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

test('no text of others becomes part of a command', () => {
  expect(steps.filter(({ run }) => run?.includes('${{')).map(({ run }) => run)).toEqual([]);
  const checkouts = steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
  expect(checkouts.filter((step) => step.with?.['persist-credentials'] !== false)).toEqual([]);
});

test('scripts that they run exist', () => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
  const named = steps.flatMap(({ run }) =>
    [...(run ?? '').matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name),
  );
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

test('every image of the chart is built, from a target that is there', async () => {
  const images = workflows.get('.github/workflows/images.yaml');
  const built = images?.jobs.build?.strategy?.matrix.include ?? [];
  const wanted = workloadsOf(await objectsOf('everything')).flatMap(({ pod }) =>
    pod.containers.map(({ image }) => /millrace\/([a-z-]+):/.exec(image)?.[1]),
  );
  expect(built.map(({ image }) => image).sort()).toEqual([...new Set(wanted)].sort());
  for (const { image, file } of built)
    expect([image, text(`deploy/docker/${file}.Dockerfile`).includes(` AS ${image}\n`)]).toEqual([
      image,
      true,
    ]);
});

test('what the chart runs inside images is what their Dockerfiles put there', async () => {
  const [node, worker] = ['node', 'worker'].map((file) => text(`deploy/docker/${file}.Dockerfile`));
  for (const { component, pod } of workloadsOf(await objectsOf('everything'))) {
    const isWorker = component.includes('worker');
    const uid = String(pod.securityContext?.runAsUser);
    expect([component, (isWorker ? worker : node)?.includes(`USER ${uid}:`)]).toEqual([component, true]);
    for (const { command, livenessProbe } of pod.containers) {
      if (command !== undefined) expect(node).toContain(` ${command[0]}\n`);
      const probe = livenessProbe?.exec?.command.map((part) => JSON.stringify(part)).join(', ');
      if (probe !== undefined) expect(worker).toContain(`CMD [${probe}]`);
    }
  }
});
