/** Exits with 0 when the service of this container says that it is ready, else with 1 and what it said. */

const TIMEOUT_MS = 4_000;

const port = process.env.MILLRACE_PORT ?? '8080';
try {
  const response = await fetch(`http://127.0.0.1:${port}/health/ready`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const said = await response.text();
  if (!response.ok) {
    process.stdout.write(`${response.status} ${said}\n`);
    process.exitCode = 1;
  }
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
