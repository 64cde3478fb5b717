import { describe, expect, test } from '@jest/globals';
import Type from 'typebox';
import {
  authConfig,
  ConfigError,
  configTable,
  databaseConfig,
  loadConfig,
  serviceConfig,
} from '../src/index.ts';

const Schema = Type.Object({
  ...serviceConfig,
  ...databaseConfig,
  ...authConfig,
  workers: Type.Integer({
    env: 'MILLRACE_WORKERS',
    default: 2,
    minimum: 1,
    description: 'How many workers run.',
  }),
  isLoud: Type.Boolean({ env: 'MILLRACE_LOUD', default: false }),
});
const good = { MILLRACE_DATABASE_URL: 'postgres://u:p@h/d', MILLRACE_AUTH_PUBLIC_KEY_FILE: '/k.pem' };

describe('loadConfig', () => {
  test('coerces, fills defaults, leaves optional ones out and freezes', () => {
    const { config } = loadConfig(Schema, {
      ...good,
      MILLRACE_PORT: '9926',
      MILLRACE_LOUD: 'true',
      MILLRACE_HOST: '',
    });
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 9926,
      isLoud: true,
      workers: 2,
      authMode: 'required',
    });
    expect('otlpEndpoint' in config).toBe(false);
    expect(Object.isFrozen(config)).toBe(true);
  });

  test('lists every fault at once and does not print secrets', () => {
    const env = {
      MILLRACE_DATABASE_URL: 'mysql://root:hunter2@h/d',
      MILLRACE_PORT: '70000',
      MILLRACE_WORKERS: 'many',
      MILLRACE_AUTH_MODE: 'open',
    };
    let error: unknown;
    try {
      loadConfig(Schema, env);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(ConfigError);
    const { faults } = error as ConfigError;
    const named = faults.map((fault) => fault.split(' ')[0]).sort();
    expect(named).toEqual([
      'MILLRACE_AUTH_MODE',
      'MILLRACE_AUTH_PUBLIC_KEY_FILE',
      'MILLRACE_DATABASE_URL',
      'MILLRACE_PORT',
      'MILLRACE_WORKERS',
    ]);
    expect(faults.join()).not.toContain('hunter2');
    expect(faults.join()).toContain('must be one of local, required');
  });

  test('returns MILLRACE_* names it does not know', () => {
    const { unknownNames } = loadConfig(Schema, { ...good, MILLRACE_PROT: '1', OTHER: 'x' });
    expect(unknownNames).toEqual(['MILLRACE_PROT']);
  });
});

test('configTable has a row for each variable and marks the required ones', () => {
  const table = configTable(Schema);
  expect(table).toContain('| `MILLRACE_WORKERS` | `2` | How many workers run. |');
  expect(table).toContain('| `MILLRACE_DATABASE_URL` | **required** | Postgres connection URL. (secret) |');
  expect(table.split('\n')).toHaveLength(2 + Object.keys(Schema.properties).length);
});
