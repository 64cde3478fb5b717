import type { ParseArgsOptionsConfig } from 'node:util';
import { parseArgs } from 'node:util';
import type { Client } from '@millrace/sdk';
import type { Connection } from './connection.ts';

/** Thrown for arguments that make no sense; the message says what to write instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What a command works with. */
export type Context = {
  readonly client: Client;
  readonly connection: Connection;
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | string[] | undefined>>;
  readonly isJson: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** True when somebody sees the output as it comes, so that a line may be drawn over. */
  readonly isTerminal: boolean;
  readonly signal: AbortSignal;
  /** Writes lines for people or programs to stdout. */
  print(text: string): void;
  /** Draws over the present line of a terminal. */
  redraw(text: string): void;
  /** Writes remarks to stderr. */
  note(text: string): void;
  /** Reads all of stdin. */
  readInput(): Promise<string>;
};

export type Command = {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  readonly options: ParseArgsOptionsConfig;
  /** Does the work and returns the exit code. */
  run(context: Context): Promise<number>;
};

/** Options every command takes. */
export const globalOptions = {
  url: { type: 'string' },
  token: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig;

/** Reads the arguments of a command; throws UsageError. */
export function readArguments(command: Command, args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { ...globalOptions, ...command.options },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\nSee: millrace ${command.name} --help`);
  }
}

/** A whole number given as an option; undefined when it was not given. Throws UsageError. */
export function integerOption(
  context: Pick<Context, 'options'>,
  name: string,
  minimum = 0,
): number | undefined {
  const text = context.options[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (typeof text === 'string' && /^-?\d+$/.test(text) && value >= minimum) return value;
  throw new UsageError(`--${name} takes a whole number of at least ${minimum}, not '${String(text)}'.`);
}

/** A text given as an option. */
export function textOption(context: Pick<Context, 'options'>, name: string): string | undefined {
  const value = context.options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The argument at a place; throws UsageError that says what belongs there. */
export function argument(context: Context, index: number, what: string): string {
  const value = context.positionals[index];
  if (value === undefined) throw new UsageError(`${what} is missing.`);
  return value;
}

/** `name@version` or `name`. */
export function modelArgument(text: string): { name: string; version: string | undefined } {
  const at = text.lastIndexOf('@');
  const [name, version] = at <= 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  if (version === '') throw new UsageError(`'${text}' ends with @; write ${name}@VERSION or ${name}.`);
  return { name, version };
}

/** Prints a value as JSON when asked to, else as text for people. */
export function show(context: Context, value: unknown, text: () => string): void {
  context.print(context.isJson ? JSON.stringify(value, null, 2) : text());
}
