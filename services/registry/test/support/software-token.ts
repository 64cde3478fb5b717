import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** A token of SoftHSM 2 and the tool of OpenSC that signs with any PKCS#11 module. */
const PACKAGES = ['libsofthsm2', 'softhsm2', 'opensc', 'opensc-pkcs11'];
const PIN = '4711';
const TOKEN = 'millrace';
const KEY = 'registry';

/** A key in a PKCS#11 token, and the command that signs with it. */
export type SoftwareToken = {
  readonly publicKeyPem: string;
  /** For MILLRACE_SIGNING_COMMAND. */
  readonly command: readonly string[];
};

/** Fetches Debian's packages into a folder, without installing them, and makes a token with a P-256 key there. */
export async function createSoftwareToken(folder: string): Promise<SoftwareToken> {
  const root = join(folder, 'root');
  const [tokens, config] = [join(folder, 'tokens'), join(folder, 'softhsm2.conf')];
  await Promise.all([root, tokens].map((path) => mkdir(path, { recursive: true })));
  await run('apt-get', ['download', ...PACKAGES], { cwd: folder });
  await run('sh', ['-c', 'for package in *.deb; do dpkg-deb -x "$package" root; done'], { cwd: folder });
  await writeFile(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  const env = {
    PATH: process.env.PATH ?? '',
    LD_LIBRARY_PATH: join(root, 'usr/lib/x86_64-linux-gnu'),
    SOFTHSM2_CONF: config,
    PKCS11_PIN: PIN,
  };
  const module = join(root, 'usr/lib/softhsm/libsofthsm2.so');
  const tool = join(root, 'usr/bin/pkcs11-tool');
  const at = ['--module', module, '--token-label', TOKEN];
  const login = ['--login', '--pin', 'env:PKCS11_PIN'];
  const key = ['--label', KEY];
  const made = ['--keypairgen', '--key-type', 'EC:prime256v1', '--id', '01'];
  await run(
    join(root, 'usr/bin/softhsm2-util'),
    ['--module', module, '--init-token', '--free', '--label', TOKEN, '--pin', PIN, '--so-pin', PIN],
    { env },
  );
  await run(tool, [...at, ...login, ...made, ...key], { env });
  const der = join(folder, 'public.der');
  await run(tool, [...at, '--read-object', '--type', 'pubkey', ...key, '--output-file', der], { env });
  const { stdout } = await run('openssl', ['pkey', '-pubin', '-inform', 'DER', '-in', der]);
  const sign = ['--sign', '--mechanism', 'ECDSA', '--signature-format', 'openssl'];
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return { publicKeyPem: stdout, command: ['env', ...variables, tool, ...at, ...login, ...sign, ...key] };
}
