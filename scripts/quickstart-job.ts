import type { Connection } from '@millrace/embedded';
import { LaunchError } from '@millrace/embedded';
import type { Reporter } from './lib/reporter.ts';

/** What the main job works with. */
export type MainJobContext = {
  connection: Connection;
  reporter: Reporter;
  /** Aborted when the user ends the run. */
  signal: AbortSignal;
  epochs: number;
  samples: number;
  seed: number;
};

/** Carries one model through the platform; returns the summary to print. Throws what went wrong, in a sentence. */
export async function runMainJob({ connection, reporter, signal }: MainJobContext): Promise<string> {
  reporter.progress('asking the gateway for the state of the services', 'ready');
  const response = await fetch(`${connection.gateway}/health/ready`, { signal });
  if (!response.ok) throw new LaunchError('gateway', `is not ready: ${await response.text()}`);
  return `open ${connection.gateway}\n  npm run status\n  npm run millrace -- jobs\n  npm run down`;
}
