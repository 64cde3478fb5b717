import { ConfigError, EXIT_CONFIG } from './config/config.ts';
import type { Logger } from './logger.ts';
import { createLogger } from './logger.ts';

/** A service that takes longer than this to close is ended. */
export const CLOSE_TIMEOUT_MS = 25_000;

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Something that runs until it is closed. */
export type Running = { close(): Promise<void> };

/**
 * Runs a service until SIGTERM or SIGINT, then closes it and exits 0. Exits 78 on a ConfigError (all faults are
 * printed), 1 when starting fails, on an unhandled rejection, or when closing takes over 25 s.
 */
export async function runService(options: {
  name: string;
  start: () => Promise<Running>;
  logger?: Logger;
  closeTimeoutMs?: number;
}): Promise<void> {
  const logger = options.logger ?? createLogger({ service: options.name });
  const fatal = (reason: string) => (error: unknown) => {
    logger.fatal({ err: error }, reason);
    process.exit(1);
  };
  process.on('unhandledRejection', fatal('A promise was rejected and nobody handled it.'));
  process.on('uncaughtException', fatal('An error was thrown and nobody caught it.'));

  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    // Later signals change nothing: Ctrl-C reaches the whole process group and the launcher signals as well.
    for (const signal of SIGNALS) process.on(signal, () => resolve(signal));
  });
  let running: Running;
  try {
    running = await options.start();
  } catch (error) {
    if (error instanceof ConfigError) return exitOnConfigError(error);
    return fatal('The service could not start.')(error);
  }
  const signal = await stopped;
  logger.info({ signal }, 'stopping');
  const closeTimeoutMs = options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS;
  setTimeout(fatal(`Closing took over ${closeTimeoutMs} ms.`), closeTimeoutMs).unref();
  try {
    await running.close();
  } catch (error) {
    return fatal('Closing failed.')(error);
  }
  logger.info('stopped');
  process.exit(0);
}

/** Prints each fault of a configuration on its own line of stderr and exits with status 78. */
export function exitOnConfigError(error: ConfigError): never {
  process.stderr.write(`${error.faults.map((fault) => `config: ${fault}`).join('\n')}\n`);
  process.exit(EXIT_CONFIG);
}
