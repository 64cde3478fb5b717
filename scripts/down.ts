import { homeRoot, openHome, stopPlatform } from '@millrace/embedded';
import { readOptions, runScript } from './lib/command-line.ts';
import { duration } from './lib/format.ts';

const USAGE = `npm run down

Stops the platform of this checkout (or of MILLRACE_HOME): workers, services, then the servers. Data stays.
  --help  this text`;

/** Workers have 20 s, services 27 s, servers 10 s. */
const STOP_TIMEOUT_MS = 70_000;

readOptions({ usage: USAGE, options: {} });

await runScript(async () => {
  const start = performance.now();
  const didRun = await stopPlatform(openHome(homeRoot(process.env)), STOP_TIMEOUT_MS);
  const done = `Stopped in ${duration(performance.now() - start)}.`;
  process.stdout.write(`${didRun ? done : 'Nothing runs here.'}\n`);
  return 0;
});
