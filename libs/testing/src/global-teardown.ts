import { RUN_KEY } from './global-setup.ts';
import type { TestInfraRun } from './test-infra.ts';

/** Ends what global-setup started; servers of somebody else stay. */
// biome-ignore lint/style/noDefaultExport: jest calls the default export.
export default async function teardown(): Promise<void> {
  await (globalThis as { [RUN_KEY]?: TestInfraRun })[RUN_KEY]?.stop();
}
