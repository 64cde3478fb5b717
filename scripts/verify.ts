import { join } from 'node:path';
import { type Environment, type EnvironmentName, pythonPath, REPOSITORY_ROOT } from '@millrace/embedded';
import { runScript } from './lib/command-line.ts';
import { prepareEnvironments } from './lib/environments.ts';
import { createReporter } from './lib/reporter.ts';
import { isInterrupted, runGroups, runSteps, type Step, summarise } from './lib/steps.ts';

const USAGE = `npm run verify [-- --full]

What CI runs: format and lint, types, Python lint and types, generated files up to date, then \`npm test\`.
  --full  outages last the whole minute that is promised, not seconds (\`npm run verify:full\`; 2 minutes more)
  --help  this text`;

/** Everything \`npm run generate\` writes. */
const GENERATED = [
  'proto',
  'docs/errors.md',
  'docs/metrics.md',
  'libs/worker-py/src/millrace_worker/contracts',
  'infra/grafana/dashboards',
  'deploy/helm/millrace/files',
  'k8s/base',
  'k8s/overlays',
];
const PYTHON_FOLDERS = [
  'libs/worker-py',
  'libs/client-py',
  'services/training-worker',
  'services/conversion-worker',
  'services/analysis-worker',
];

type Environments = ReadonlyMap<EnvironmentName, Environment>;

function bin(name: string): string {
  return join(REPOSITORY_ROOT, 'node_modules', '.bin', name);
}

function pyrightStep(
  environments: Environments,
  name: 'training' | 'conversion' | 'analysis' | 'dev',
  folders: string[],
): Step {
  const python = environments.get(name)?.python ?? '';
  return {
    name: `pyright ${name}`,
    command: bin('pyright'),
    args: ['--pythonpath', python, ...folders],
    env: name === 'dev' ? {} : pythonPath(`${name}-worker`),
    closingLine: /\d+ errors?,/,
  };
}

/** What only reads the sources. */
function readingSteps(environments: Environments): Step[] {
  const ruff = join(environments.get('dev')?.folder ?? '', 'bin', 'ruff');
  return [
    { name: 'format and lint', command: bin('biome'), args: ['check', '.'], closingLine: /^Checked/ },
    { name: 'types', command: bin('tsc'), args: ['--noEmit'] },
    { name: 'ruff', command: ruff, args: ['check', ...PYTHON_FOLDERS] },
    pyrightStep(environments, 'training', ['libs/worker-py/src', 'services/training-worker/src']),
    pyrightStep(environments, 'conversion', ['services/conversion-worker/src']),
    pyrightStep(environments, 'analysis', ['services/analysis-worker/src']),
    pyrightStep(environments, 'dev', ['libs/client-py/src']),
  ];
}

/** What writes files or needs the machine for itself. */
function runningSteps(): Step[] {
  const node = process.execPath;
  return [
    { name: 'generate', command: node, args: ['scripts/generate.ts'] },
    {
      name: 'generated files',
      command: 'git',
      args: ['-c', 'safe.directory=*', 'diff', '--exit-code', '--stat', '--', ...GENERATED],
    },
    {
      name: 'generated files added',
      command: '/bin/sh',
      args: [
        '-c',
        'new=$(git -c safe.directory=* ls-files --others --exclude-standard -- "$@"); echo "$new"; test -z "$new"',
        'sh',
        ...GENERATED,
      ],
    },
    { name: 'tests', command: node, args: ['scripts/test.ts'] },
  ];
}

await runScript(async () => {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (process.argv.includes('--full')) process.env.MILLRACE_TEST_LONG = '1';
  const environments = await prepareEnvironments(
    ['dev', 'training', 'conversion', 'analysis'],
    createReporter(),
  );
  const read = await runGroups(readingSteps(environments).map((step) => [step]));
  const run = isInterrupted(read) ? [] : await runSteps(runningSteps());
  return summarise('verify', [...read, ...run]);
});
