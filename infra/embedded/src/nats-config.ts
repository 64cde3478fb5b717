/** Bounds of the broker; every stream's own bounds lie within them. */
const MAX_FILE = '8G';
const MAX_MEMORY = '128M';
const MAX_PAYLOAD = '1MB';

/** What the configuration of a server depends on. */
export type NatsConfigInput = {
  /** Address to listen on; loopback unless given. */
  host?: string;
  port: number;
  store: string;
  servicesPassword: string;
  workerPassword: string;
  isSyncAlways?: boolean;
};

/** What services may use: all subjects of the platform, JetStream, their inbox, and the workers' for replies. */
const SERVICES = {
  publish: ['millrace.>', '$JS.>', '_INBOX_services.>', '_INBOX_worker.>'],
  subscribe: ['millrace.>', '$JS.>', '_INBOX_services.>'],
};

/** What workers may use: requests, telemetry, pulling and acknowledging jobs; no stream of facts. */
const WORKER = {
  publish: [
    'millrace.rpc.>',
    'millrace.tel.>',
    '$JS.API.INFO',
    '$JS.API.CONSUMER.MSG.NEXT.MILLRACE_JOBS.>',
    '$JS.API.CONSUMER.INFO.MILLRACE_JOBS.>',
    '$JS.ACK.MILLRACE_JOBS.>',
  ],
  subscribe: ['_INBOX_worker.>', 'millrace.ctl.>'],
};

/**
 * The server's configuration file. Every JetStream write is synced before it is acknowledged: with the default,
 * an acknowledged message can be lost when the machine loses power. `max_file` is fixed, because an unset one is a
 * share of the free space at each start and can refuse the server's own data.
 */
export function natsConfig(input: NatsConfigInput): string {
  const lines = [
    `listen: "${input.host ?? '127.0.0.1'}:${input.port}"`,
    'server_name: millrace',
    `max_payload: ${MAX_PAYLOAD}`,
    'jetstream {',
    `  store_dir: ${JSON.stringify(input.store)}`,
    `  max_file: ${MAX_FILE}`,
    `  max_mem: ${MAX_MEMORY}`,
    ...(input.isSyncAlways === false ? [] : ['  sync_interval: always']),
    '}',
    'authorization {',
    '  users = [',
    ...userLines('services', input.servicesPassword, SERVICES),
    ...userLines('worker', input.workerPassword, WORKER),
    '  ]',
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

function userLines(user: string, password: string, permissions: typeof SERVICES): string[] {
  return [
    `    { user: ${JSON.stringify(user)}, password: ${JSON.stringify(password)}, permissions: {`,
    `      publish: ${JSON.stringify(permissions.publish)}`,
    `      subscribe: ${JSON.stringify(permissions.subscribe)}`,
    '    } }',
  ];
}
