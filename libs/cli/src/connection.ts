import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** Where a platform is and how to enter it; `home` is the folder of its connection file, if there is one. */
export type Connection = {
  readonly url: string;
  readonly token: string | undefined;
  readonly home: string | undefined;
  readonly servers: Servers | undefined;
};

/** The servers under a platform on this machine. */
export type Servers = {
  readonly database: string;
  readonly nats: string;
  readonly s3: {
    readonly endpoint: string;
    readonly region: string;
    readonly bucket: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  };
};

type ConnectionFile = Servers & { gateway: string; token: string };

/** Address that is tried when nothing says another. */
export const DEFAULT_URL = 'http://127.0.0.1:9926';

/**
 * Finds the platform: --url and --token, else MILLRACE_URL and MILLRACE_TOKEN, else the connection file of
 * MILLRACE_HOME, else that of the nearest `.millrace` upward from the working folder, else the default address.
 */
export function findConnection(options: {
  url?: string | undefined;
  token?: string | undefined;
  env: NodeJS.ProcessEnv;
  cwd: string;
}): Connection {
  const { env } = options;
  const home = findHome(env, options.cwd);
  const file = home === undefined ? undefined : readFile(join(home, 'connection.json'));
  const url = options.url ?? env.MILLRACE_URL;
  const token = options.token ?? env.MILLRACE_TOKEN;
  // The key of the platform on this machine is never sent to an address that it does not have.
  if (url !== undefined)
    return {
      url,
      token: token ?? (url === file?.gateway ? file.token : undefined),
      home,
      servers: undefined,
    };
  if (file === undefined) return { url: DEFAULT_URL, token, home, servers: undefined };
  const { database, nats, s3 } = file;
  return { url: file.gateway, token: token ?? file.token, home, servers: { database, nats, s3 } };
}

/** The state folder of a platform: MILLRACE_HOME, or the nearest `.millrace` at or above a folder. */
export function findHome(env: NodeJS.ProcessEnv, cwd: string): string | undefined {
  if (env.MILLRACE_HOME !== undefined && env.MILLRACE_HOME !== '') return resolve(env.MILLRACE_HOME);
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const home = join(folder, '.millrace');
    if (existsSync(home)) return home;
    if (folder === dirname(folder)) return undefined;
  }
}

function readFile(path: string): ConnectionFile | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ConnectionFile;
  } catch {
    return undefined;
  }
}
