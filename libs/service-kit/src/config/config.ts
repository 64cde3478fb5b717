import type { Static, TObject, TSchema } from 'typebox';
import Value from 'typebox/value';

/** Exit status of a process whose configuration is wrong (EX_CONFIG of sysexits.h). */
export const EXIT_CONFIG = 78;

/** Thrown by `loadConfig` with every fault at once; each fault is a sentence that names its variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(
      `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}: ${faults.join(' ')}`,
    );
    this.faults = faults;
  }
}

/** What `loadConfig` reads of a property schema besides JSON Schema's own words. */
type ConfigProperty = TSchema & {
  readonly env?: string;
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly secret?: boolean;
  readonly enum?: readonly unknown[];
};

export type LoadedConfig<S extends TObject> = {
  readonly config: Readonly<Static<S>>;
  /** MILLRACE_* names that are set but not in the schema: perhaps meant for another service, perhaps a typing error. */
  readonly unknownNames: readonly string[];
};

const PREFIX = 'MILLRACE_';

/**
 * Reads the configuration from environment variables named by `env` in each property of the schema.
 * Empty values count as unset. Throws ConfigError with all faults at once.
 */
export function loadConfig<S extends TObject>(schema: S, env: NodeJS.ProcessEnv): LoadedConfig<S> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  const required = new Set<string>((schema as { required?: string[] }).required ?? []);
  const names = new Set<string>();
  for (const [key, property] of Object.entries(schema.properties) as [string, ConfigProperty][]) {
    const name = envName(key, property);
    names.add(name);
    const text = env[name];
    if (text === undefined || text === '') {
      if (property.default !== undefined) values[key] = property.default;
      else if (required.has(key)) faults.push(`${name} is not set (${property.description ?? key}).`);
      continue;
    }
    const value = coerce(text, property);
    const [error] = Value.Errors(property, value);
    if (error === undefined) values[key] = value;
    else
      faults.push(
        `${name} ${fault(property, error.message)}${property.secret === true ? '' : `, got '${text}'`}.`,
      );
  }
  if (faults.length > 0) throw new ConfigError(faults);
  const unknownNames = Object.keys(env).filter((name) => name.startsWith(PREFIX) && !names.has(name));
  return { config: Object.freeze(values) as Readonly<Static<S>>, unknownNames: unknownNames.sort() };
}

/** The schema as a Markdown table for a README: name, default and meaning of each variable. */
export function configTable(schema: TObject): string {
  const required = new Set<string>((schema as { required?: string[] }).required ?? []);
  const rows = (Object.entries(schema.properties) as [string, ConfigProperty][]).map(([key, property]) => {
    const isRequired = required.has(key) && property.default === undefined;
    const fallback =
      property.default === undefined ? (isRequired ? '**required**' : '-') : `\`${property.default}\``;
    const secret = property.secret === true ? ' (secret)' : '';
    return `| \`${envName(key, property)}\` | ${fallback} | ${(property.description ?? '').replaceAll('|', '\\|')}${secret} |`;
  });
  return ['| variable | default | meaning |', '|---|---|---|', ...rows].join('\n');
}

function envName(key: string, property: ConfigProperty): string {
  if (property.env === undefined || !property.env.startsWith(PREFIX)) {
    throw new TypeError(`The config property '${key}' needs env: '${PREFIX}…'.`);
  }
  return property.env;
}

function coerce(text: string, property: ConfigProperty): unknown {
  if (property.type === 'integer' || property.type === 'number') {
    return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  }
  if (property.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function fault(property: ConfigProperty, message: string): string {
  return property.enum === undefined ? message : `must be one of ${property.enum.join(', ')}`;
}
