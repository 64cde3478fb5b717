import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type EnvironmentName, ensureEnvironment, environmentsRoot } from '@millrace/embedded';

const run = promisify(execFile);
/** A client library is imported in about 5 s on a busy machine; the rest is the test's own work. */
const TIMEOUT_MS = 100_000;
/** What programs of one library have in common. */
const SHARED = fileURLToPath(new URL('../clients', import.meta.url));
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** Several libraries report their use to their makers unless told not to. */
const NO_REPORTS = { DO_NOT_TRACK: 'true', MLFLOW_DISABLE_TELEMETRY: 'true', ORT_DISABLE_TELEMETRY: '1' };

/**
 * Runs a Python file with a public client library and gives the JSON that it printed. The environment is made on the
 * first use (a few seconds, from the package registry) and kept. Throws with the program's own words when it fails.
 */
export async function runClient(
  environment: Extract<EnvironmentName, `clients-${string}`>,
  file: string,
  args: readonly string[],
  { env = {}, timeoutMs = TIMEOUT_MS }: { env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<unknown> {
  const { python } = await ensureEnvironment(environment, environmentsRoot(process.env), process.env);
  const { stdout } = await run(python, [file, ...args], {
    timeout: timeoutMs,
    maxBuffer: OUTPUT_BYTES_MAX,
    env: { ...process.env, ...NO_REPORTS, PYTHONPATH: SHARED, ...env },
  });
  return JSON.parse(stdout);
}
