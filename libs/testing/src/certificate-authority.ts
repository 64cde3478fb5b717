import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate with its private key (P-256 unless another curve was asked for), all PEM. */
export type IssuedCertificate = { readonly certificatePem: string; readonly privateKeyPem: string };

export type CertificateRequest = {
  readonly name: string;
  /** Extensions as openssl writes them, one a line. */
  readonly extensions: readonly string[];
  readonly issuer?: IssuedCertificate;
  /** From and to, `20260101000000Z`; from a minute ago for ten years unless given. */
  readonly valid?: readonly [from: string, to: string];
  readonly curve?: 'P-256' | 'P-384' | 'P-521';
};

/** Extensions of an authority. */
export const AUTHORITY = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'];
/** Extensions of a certificate that signs. */
export const SIGNING = ['keyUsage=critical,digitalSignature', 'extendedKeyUsage=codeSigning'];

/** Makes a key and a certificate of it with openssl, signed by the issuer or by itself. */
export async function issueCertificate(request: CertificateRequest): Promise<IssuedCertificate> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-ca-'));
  const file = (name: string): string => join(folder, name);
  try {
    await run('openssl', [
      ...['genpkey', '-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${request.curve ?? 'P-256'}`],
      ...['-out', file('key.pem')],
    ]);
    const config = ['[req]', 'distinguished_name=dn', '[dn]', '[ext]', ...request.extensions].join('\n');
    await writeFile(file('openssl.cnf'), config);
    await run('openssl', [
      ...['req', '-new', '-key', file('key.pem'), '-subj', `/CN=${request.name}`],
      ...['-config', file('openssl.cnf'), '-out', file('request.pem')],
    ]);
    const issuer = request.issuer;
    if (issuer !== undefined) {
      await writeFile(file('ca.pem'), issuer.certificatePem);
      await writeFile(file('ca-key.pem'), issuer.privateKeyPem);
    }
    await sign(file, request);
    const [certificatePem, privateKeyPem] = await Promise.all(
      ['cert.pem', 'key.pem'].map((name) => readFile(file(name), 'utf8')),
    );
    if (certificatePem === undefined || privateKeyPem === undefined)
      throw new Error('openssl wrote nothing.');
    return { certificatePem, privateKeyPem };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** `openssl ca` is the only command of older versions that sets both dates. */
async function sign(file: (name: string) => string, { issuer, valid }: CertificateRequest): Promise<void> {
  const settings = [
    await readFile(file('openssl.cnf'), 'utf8'),
    '[ca]',
    'default_ca=own',
    '[own]',
    `new_certs_dir=${file('.')}`,
    `database=${file('index.txt')}`,
    'rand_serial=yes',
    'default_md=sha256',
    'policy=any',
    'unique_subject=no',
    '[any]',
    'commonName=supplied',
  ];
  await writeFile(file('ca.cnf'), settings.join('\n'));
  await writeFile(file('index.txt'), '');
  const [from, to] = valid ?? [stamp(-60_000), stamp(3650 * 86_400_000)];
  const by =
    issuer === undefined
      ? ['-selfsign', '-keyfile', file('key.pem')]
      : ['-cert', file('ca.pem'), '-keyfile', file('ca-key.pem')];
  await run('openssl', [
    ...['ca', '-batch', '-notext', '-config', file('ca.cnf'), '-extensions', 'ext', ...by],
    ...['-in', file('request.pem'), '-startdate', from, '-enddate', to, '-out', file('cert.pem')],
  ]);
}

function stamp(fromNowMs: number): string {
  return `${new Date(Date.now() + fromNowMs).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
}
