import { authConfig, databaseConfig, natsConfig, s3Config, serviceConfig } from '@millrace/service-kit';
import Type from 'typebox';

/** Everything the registry reads from its environment. */
export const ConfigSchema = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  ...s3Config,
  signingKeyFile: Type.Optional(
    Type.String({
      env: 'MILLRACE_SIGNING_KEY_FILE',
      minLength: 1,
      description: 'PEM file of the P-256 private key that signs packages; only the registry has it.',
    }),
  ),
  signingKey: Type.Optional(
    Type.String({
      env: 'MILLRACE_SIGNING_KEY',
      minLength: 1,
      secret: true,
      description: 'The same key itself, as PEM, instead of its file.',
    }),
  ),
  signingCommand: Type.Optional(
    Type.String({
      env: 'MILLRACE_SIGNING_COMMAND',
      minLength: 2,
      description:
        'Instead of a key: a program and its arguments as a JSON array, which gets a SHA-256 (32 bytes) on stdin and writes the DER signature to stdout, for instance of an HSM.',
    }),
  ),
  signingCommandKeyFile: Type.Optional(
    Type.String({
      env: 'MILLRACE_SIGNING_COMMAND_KEY_FILE',
      minLength: 1,
      description: 'PEM file of the P-256 public key that this program signs with.',
    }),
  ),
  signingCertificateFile: Type.Optional(
    Type.String({
      env: 'MILLRACE_SIGNING_CERTIFICATE_FILE',
      minLength: 1,
      description:
        'PEM file of the certificate of the key and those that lead to its root; with it packages are signed by certificate.',
    }),
  ),
  signOldVersions: Type.Boolean({
    env: 'MILLRACE_SIGN_OLD_VERSIONS',
    default: false,
    description:
      'Set it for one start after an upgrade from a release that did not sign the names of versions: each version that has no such signature, and whose history and bytes are intact, gets one.',
  }),
  storageGraceSeconds: Type.Integer({
    env: 'MILLRACE_STORAGE_GRACE_SECONDS',
    default: 86_400,
    minimum: 1,
    description:
      'Files younger than this are never collected, and what is collected is deleted only this long after; longer than any upload or job takes.',
  }),
  importTimeoutSeconds: Type.Integer({
    env: 'MILLRACE_IMPORT_TIMEOUT_SECONDS',
    default: 1_800,
    minimum: 1,
    description:
      'An upload that is converted first must be a version by then, waiting for a worker included; else it fails with import_timeout and its conversion is stopped.',
  }),
  signingPublicKeyFile: Type.Optional(
    Type.String({
      env: 'MILLRACE_SIGNING_PUBLIC_KEY_FILE',
      minLength: 1,
      description:
        'PEM file of further public keys (older ones) and CA certificates whose signatures are taken; inference has the same.',
    }),
  ),
  artifactBytesMax: Type.Integer({
    env: 'MILLRACE_ARTIFACT_BYTES_MAX',
    minimum: 1,
    default: 5 * 1024 ** 3,
    description: 'Largest artifact of a run in bytes.',
  }),
});
