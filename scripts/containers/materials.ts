import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureEnvironment, environmentsRoot, REPOSITORY_ROOT } from '@millrace/embedded';
import type { Image } from './catalog.ts';
import { debianComponents } from './debian-components.ts';
import type { Engine } from './engine.ts';
import { programComponents } from './program-components.ts';
import { runCommand } from './run-command.ts';

const TIMEOUT_MS = 120_000;
const SPEC_VERSION = '1.5';

/** A bill of materials in CycloneDX, as far as it is put together here. */
type Bill = {
  bomFormat: 'CycloneDX';
  specVersion: string;
  version: number;
  metadata: { component: { type: 'container'; name: string; version: string } };
  components: { type: string; name: string; version?: string; purl?: string; 'bom-ref'?: string }[];
};

/** Locks that the packages of a worker are installed from. */
const LOCKS: Readonly<Record<string, string>> = {
  'training-worker': 'services/training-worker/requirements.txt',
  'training-worker-gpu': 'services/training-worker/requirements-gpu.txt',
  'training-worker-torch': 'services/training-worker/requirements-torch.txt',
  'conversion-worker': 'services/conversion-worker/requirements.txt',
  'analysis-worker': 'services/analysis-worker/requirements.txt',
};

/**
 * Writes what an image holds, the packages of npm or PyPI from their lock and those of Debian from the image itself, as
 * CycloneDX to `sbom/<name>.cdx.json`; returns the file. It holds no time and no random number: equal images, equal bytes.
 */
export async function writeMaterials(engine: Engine, image: Image, reference: string): Promise<string> {
  const status = await engine.run([
    'run',
    '--rm',
    '--entrypoint',
    '/bin/cat',
    reference,
    '/var/lib/dpkg/status',
  ]);
  const version = reference.slice(reference.lastIndexOf(':') + 1);
  const bill: Bill = {
    bomFormat: 'CycloneDX',
    specVersion: SPEC_VERSION,
    version: 1,
    metadata: { component: { type: 'container', name: reference, version } },
    components: [
      ...(await packagesOf(engine, image)),
      ...programComponents(image),
      ...debianComponents(status),
    ],
  };
  bill.components.sort((a, b) => ((a.purl ?? a.name) < (b.purl ?? b.name) ? -1 : 1));
  const folder = join(engine.folder, 'sbom');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${image.name}.cdx.json`);
  writeFileSync(file, `${JSON.stringify(bill, null, 2)}\n`);
  return file;
}

async function packagesOf(engine: Engine, image: Image): Promise<Bill['components']> {
  const lock = LOCKS[image.name];
  if (lock !== undefined) return pythonComponents(engine, lock);
  // those of servers are whole programs, with nothing of npm beside them
  if (image.kind === 'server') return [];
  const args = [
    'sbom',
    '--sbom-format=cyclonedx',
    '--omit=dev',
    '--package-lock-only',
    `--workspace=services/${image.name}`,
  ];
  const text = await runCommand({
    part: 'npm sbom',
    command: 'npm',
    args,
    cwd: REPOSITORY_ROOT,
    env: process.env,
    timeoutMs: TIMEOUT_MS,
  });
  return (JSON.parse(text) as Bill).components;
}

async function pythonComponents(engine: Engine, lock: string): Promise<Bill['components']> {
  const { folder } = await ensureEnvironment('containers', environmentsRoot(process.env), process.env);
  const file = join(engine.folder, 'python.cdx.json');
  const flags = ['--spec-version', SPEC_VERSION, '--output-reproducible', '--output-file', file];
  await runCommand({
    part: 'cyclonedx-py',
    command: join(folder, 'bin', 'cyclonedx-py'),
    args: ['requirements', ...flags, lock],
    cwd: REPOSITORY_ROOT,
    env: process.env,
    timeoutMs: TIMEOUT_MS,
  });
  const { components } = JSON.parse(readFileSync(file, 'utf8')) as Bill;
  rmSync(file);
  return components;
}
