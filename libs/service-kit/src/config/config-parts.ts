import Type from 'typebox';

/** Properties every service has: spread them into its config schema. */
export const serviceConfig = {
  host: Type.String({
    env: 'MILLRACE_HOST',
    default: '127.0.0.1',
    minLength: 1,
    description: 'Address to listen on.',
  }),
  port: Type.Integer({
    env: 'MILLRACE_PORT',
    default: 0,
    minimum: 0,
    maximum: 65_535,
    description: 'TCP port to listen on; 0 takes any free one.',
  }),
  logLevel: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'], {
    env: 'MILLRACE_LOG_LEVEL',
    default: 'info',
    description: 'Lowest level that is logged: trace, debug, info, warn, error or fatal.',
  }),
  otlpEndpoint: Type.Optional(
    Type.String({
      env: 'MILLRACE_OTLP_ENDPOINT',
      pattern: '^https?://',
      description: 'OTLP/HTTP origin that traces are sent to; unset turns tracing off.',
    }),
  ),
};

/** How requests are authenticated. */
export const authConfig = {
  authMode: Type.Enum(['local', 'required'], {
    env: 'MILLRACE_AUTH_MODE',
    default: 'required',
    description: '`local`: requests from this machine need no key; `required`: every request needs one.',
  }),
  authPublicKeyFile: Type.String({
    env: 'MILLRACE_AUTH_PUBLIC_KEY_FILE',
    minLength: 1,
    description: "PEM file of the P-256 public key that verifies the gateway's key set.",
  }),
};

/** Where the database is. */
export const databaseConfig = {
  databaseUrl: Type.String({
    env: 'MILLRACE_DATABASE_URL',
    pattern: '^postgres(ql)?://',
    secret: true,
    description: 'Postgres connection URL.',
  }),
};

/** Where NATS is. */
export const natsConfig = {
  natsUrl: Type.String({
    env: 'MILLRACE_NATS_URL',
    pattern: '^(nats|tls)://',
    secret: true,
    description: 'NATS URL; may hold user and password.',
  }),
  natsInboxPrefix: Type.String({
    env: 'MILLRACE_NATS_INBOX_PREFIX',
    default: '_INBOX_services',
    pattern: '^[A-Za-z0-9_-]+$',
    description: 'Prefix of reply subjects; must fit the permissions of the NATS user.',
  }),
};

/** Where the object store is. */
export const s3Config = {
  s3Endpoint: Type.String({
    env: 'MILLRACE_S3_ENDPOINT',
    pattern: '^https?://',
    description: 'Origin of the S3 server.',
  }),
  s3PublicEndpoint: Type.Optional(
    Type.String({
      env: 'MILLRACE_S3_PUBLIC_ENDPOINT',
      pattern: '^https?://',
      description:
        'Origin of the S3 server in the URLs that clients are given; MILLRACE_S3_ENDPOINT unless set.',
    }),
  ),
  s3Region: Type.String({
    env: 'MILLRACE_S3_REGION',
    default: 'us-east-1',
    minLength: 1,
    description: 'Region that requests are signed for.',
  }),
  s3Bucket: Type.String({
    env: 'MILLRACE_S3_BUCKET',
    default: 'millrace',
    pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    description: 'Bucket that holds every object.',
  }),
  s3AccessKeyId: Type.String({
    env: 'MILLRACE_S3_ACCESS_KEY_ID',
    minLength: 1,
    description: 'S3 access key id.',
  }),
  s3SecretAccessKey: Type.String({
    env: 'MILLRACE_S3_SECRET_ACCESS_KEY',
    minLength: 1,
    secret: true,
    description: 'S3 secret access key.',
  }),
};
