import { ENVIRONMENTS, type EnvironmentName } from '@millrace/embedded';
import { runScript } from './lib/command-line.ts';
import { prepareEnvironments } from './lib/environments.ts';
import { createReporter } from './lib/reporter.ts';

const names = Object.keys(ENVIRONMENTS) as EnvironmentName[];
const USAGE = `node scripts/env.ts NAME...

Makes Python environments from their hash-pinned locks: ${names.join(', ')}.
\`npm run ml:env:tf\` makes training, \`npm run ml:env:convert\` makes conversion. Instant when nothing changed.`;

const EXIT_USAGE = 64;

await runScript(async () => {
  const wanted = process.argv.slice(2);
  if (wanted.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const unknown = wanted.filter((name) => !(name in ENVIRONMENTS));
  if (wanted.length === 0 || unknown.length > 0) {
    process.stderr.write(`unknown environment: ${unknown.join(', ') || 'none given'}\n\n${USAGE}\n`);
    return EXIT_USAGE;
  }
  const made = await prepareEnvironments(wanted as EnvironmentName[], createReporter());
  for (const { name, folder } of made.values())
    if (wanted.includes(name)) process.stdout.write(`${folder}\n`);
  return 0;
});
