import { availableParallelism } from 'node:os';
import {
  type Environment,
  type EnvironmentName,
  ensureEnvironment,
  environmentsRoot,
} from '@millrace/embedded';
import { bytes } from './format.ts';
import type { Reporter } from './reporter.ts';

/** Makes the named Python environments side by side and reports each with its time and size. */
export async function prepareEnvironments(
  names: readonly EnvironmentName[],
  reporter: Reporter,
): Promise<Map<EnvironmentName, Environment>> {
  const root = environmentsRoot(process.env);
  const made = new Map<EnvironmentName, Environment>();
  const prepare = async (name: EnvironmentName): Promise<void> => {
    const environment = await ensureEnvironment(name, root, process.env);
    made.set(name, environment);
    const detail = `${environment.elapsedMs > 0 ? 'made' : 'present'}, ${bytes(environment.sizeBytes)}`;
    reporter.part(`environment ${name}`, environment.elapsedMs, detail);
  };
  await prepare('tools');
  const rest = names.filter((name) => name !== 'tools');
  reporter.progress(`Python environments: ${rest.join(', ')}`, 'environments');
  if (availableParallelism() > 1) await Promise.all(rest.map(prepare));
  else for (const name of rest) await prepare(name);
  reporter.clear();
  return made;
}
