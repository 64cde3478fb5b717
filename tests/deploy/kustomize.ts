import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import { isLongRun } from '@millrace/testing';
import { parseAllDocuments } from 'yaml';
import type { Json, KubeObject } from '../../scripts/generate/chart.ts';
import { DEPLOYMENTS, identityOf, renderChart, valuesOf } from '../../scripts/generate/chart.ts';
import { patchOf } from '../../scripts/generate/json-patch.ts';
import { kustomizeFiles } from '../../scripts/generate/kustomize.ts';

const run = promisify(execFile);
const K8S = join(REPOSITORY_ROOT, 'k8s');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** The first kubectl whose kustomize is of the line that the overlays are written for. */
const KUSTOMIZE_MAJOR_MIN = 5;

test('k8s/ holds what the chart gives, and nothing else', async () => {
  const wanted = await kustomizeFiles();
  const there = globSync('{base,overlays}/**/*.yaml', { cwd: K8S }).sort();
  expect(there).toEqual([...wanted.keys()].sort());
  for (const [file, text] of wanted)
    expect([
      file,
      readFileSync(join(K8S, file), 'utf8') === text ? 'as it should be' : 'run npm run generate',
    ]).toEqual([file, 'as it should be']);
});

/** Whether a kubectl with a current kustomize is here; a full run needs one. */
async function hasKustomize(): Promise<boolean> {
  const said = await run('kubectl', ['version', '--client']).catch((error: Error) => ({
    stdout: String(error),
  }));
  const major = Number(/Kustomize Version: v(\d+)/.exec(said.stdout)?.[1] ?? 0);
  if (major >= KUSTOMIZE_MAJOR_MIN) return true;
  if (isLongRun) throw new Error(`A full run needs a kubectl with kustomize 5: ${said.stdout}`);
  process.stderr.write('Left out, for there is no kubectl with kustomize 5 here.\n');
  return false;
}

/** What `kubectl apply -k` would send. */
async function built(folder: string): Promise<KubeObject[]> {
  const { stdout } = await run('kubectl', ['kustomize', join(K8S, folder)], { maxBuffer: OUTPUT_BYTES_MAX });
  return parseAllDocuments(stdout).map((document) => document.toJS() as KubeObject);
}

const sorted = (objects: readonly KubeObject[]): KubeObject[] =>
  [...objects].sort((a, b) => (identityOf(a) < identityOf(b) ? -1 : 1));

test('kustomize itself makes the very objects of Helm, for the base and each environment', async () => {
  if (!(await hasKustomize())) return;
  const values = [{}, ...DEPLOYMENTS.map(valuesOf)].map((one) => ({ ...one, namespace: { create: true } }));
  const byHelm = await renderChart(values);
  const folders = ['base', ...DEPLOYMENTS.map((deployment) => `overlays/${deployment}`)];
  const byKustomize = await Promise.all(folders.map(built));
  for (const [i, folder] of folders.entries()) {
    const objects = sorted(byKustomize[i] ?? []);
    expect([folder, objects.map(identityOf)]).toEqual([folder, sorted(byHelm[i] ?? []).map(identityOf)]);
    expect(objects).toEqual(sorted(byHelm[i] ?? []));
  }
});

test('a patch turns one value into the other, with lists kept where they can be', () => {
  const cases: [Json, Json, number][] = [
    [{ a: 1, b: { c: [1, 2] } }, { a: 1, b: { c: [1, 2] } }, 0],
    [{ a: 1 }, { b: 1 }, 2],
    [{ 'x/y': { '~z': 1 } }, { 'x/y': { '~z': 2 } }, 1],
    [
      { list: [{ name: 'a' }, { name: 'b' }] },
      { list: [{ name: 'a' }, { name: 'n' }, { name: 'b' }, { name: 'z' }] },
      2,
    ],
    [{ list: [1, 2, 3] }, { list: [1] }, 1],
    [{ list: [{ a: 1 }, { b: 1 }] }, { list: [{ a: 2 }, { b: 1 }] }, 1],
    [{ a: null }, { a: { b: null } }, 1],
  ];
  for (const [before, after, count] of cases) {
    const operations = patchOf(before, after);
    expect(operations).toHaveLength(count);
    let value = structuredClone(before);
    for (const { op, path, value: added } of operations) value = applied(value, path, op, added);
    expect(value).toEqual(after);
  }
});

function applied(root: Json, path: string, op: string, value: Json | undefined): Json {
  const names = path
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = names.pop() ?? '';
  let parent = root as Record<string, Json>;
  for (const name of names) parent = parent[name] as Record<string, Json>;
  if (Array.isArray(parent))
    parent.splice(Number(last), op === 'add' ? 0 : 1, ...(op === 'remove' ? [] : [value as Json]));
  else if (op === 'remove') delete parent[last];
  else parent[last] = value as Json;
  return root;
}
