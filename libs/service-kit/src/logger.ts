import type { DestinationStream, Logger as PinoLogger } from 'pino';
import { pino, stdTimeFunctions } from 'pino';

/** A pino logger: JSON lines with `time` (ISO 8601), `level` (name), `service` and `msg`. */
export type Logger = PinoLogger;

const URL_CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/)[^\s/@"\\]+@/gi;
const API_KEYS = /mlr_[0-9a-zA-Z]{1,64}_[A-Za-z0-9_-]{20,}/g;
const BEARER = /(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi;
const SECRET_FIELDS =
  /"([\w-]*(?:authorization|token|secret|password|secretaccesskey|apikey|credential)[\w-]*)":"(?:[^"\\]|\\.)*"/gi;

/** Takes API keys, passwords, tokens and credentials in URLs out of one line of text or JSON, at any depth. */
export function redactSecrets(line: string): string {
  return line
    .replace(SECRET_FIELDS, '"$1":"[redacted]"')
    .replace(URL_CREDENTIALS, '$1[redacted]@')
    .replace(API_KEYS, '[redacted]')
    .replace(BEARER, '$1 [redacted]');
}

/**
 * A logger that writes JSON lines to stdout (or to `destination`). Secrets are taken out of each finished line,
 * so they are missed neither in nested objects nor in error messages.
 */
export function createLogger(options: {
  service: string;
  level?: string;
  destination?: DestinationStream;
}): Logger {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => void destination.write(redactSecrets(line)) },
  );
}
