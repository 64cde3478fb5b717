import { startTestInfra, TEST_INFRA_VARIABLE, type TestInfraRun } from './test-infra.ts';

/** Where teardown finds what setup started; the two are loaded apart. */
export const RUN_KEY = Symbol.for('millrace.test-infra-run');

/** Starts the shared servers once a run, unless the caller of jest has started them. */
// biome-ignore lint/style/noDefaultExport: jest calls the default export.
export default async function setup(): Promise<void> {
  if (process.env[TEST_INFRA_VARIABLE]) return;
  const run = await startTestInfra();
  (globalThis as { [RUN_KEY]?: TestInfraRun })[RUN_KEY] = run;
  process.env[TEST_INFRA_VARIABLE] = JSON.stringify(run.infra);
}
