/** A part of the platform that could not be started, stopped or found; the message says what to do. */
export class LaunchError extends Error {
  readonly part: string;
  readonly logFile: string | undefined;

  constructor(part: string, message: string, options: { logFile?: string; cause?: unknown } = {}) {
    super(options.logFile ? `${part}: ${message} (log: ${options.logFile})` : `${part}: ${message}`, {
      cause: options.cause,
    });
    this.name = 'LaunchError';
    this.part = part;
    this.logFile = options.logFile;
  }
}
