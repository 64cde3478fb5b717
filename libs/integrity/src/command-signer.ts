import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import type { Signer } from './keys.ts';
import { assertP256, isSignatureOf, keyIdOf, loadPublicKey } from './keys.ts';

/** A program that has not signed after this long is ended, unless the caller says otherwise (ms). */
export const SIGN_TIMEOUT_MS = 10_000;
/** A DER signature on P-256 has at most 72 bytes; what is longer is none. */
const SIGNATURE_BYTES_MAX = 1024;
/** What is kept of a program's complaint (characters). */
const COMPLAINT_LENGTH_MAX = 500;

/** A program that signs: it gets the 32 bytes of a SHA-256 on stdin and writes a DER signature to stdout. */
export type SigningProgram = {
  readonly program: string;
  /** Given as they are; no shell reads them. */
  readonly args: readonly string[];
  /** The key that it signs with (P-256, PEM). */
  readonly publicKeyPem: string;
  readonly timeoutMs?: number;
};

/**
 * A signer whose key this process never sees: an HSM by pkcs11-tool, a key service by its command line, a smart card.
 * Each signature is verified before it is used. Signing throws `signer_unavailable`; making it throws TypeError for
 * another key than P-256.
 */
export function createCommandSigner(options: SigningProgram): Signer {
  const key = loadPublicKey(options.publicKeyPem);
  assertP256(key, 'public');
  const keyId = keyIdOf(key);
  return {
    keyId: () => keyId,
    async sign(bytes) {
      const signature = await runProgram(options, createHash('sha256').update(bytes).digest());
      if (isSignatureOf(key, bytes, signature)) return signature;
      throw unavailable(options.program, 'made a signature that its public key does not verify');
    },
  };
}

function runProgram(
  { program, args, timeoutMs = SIGN_TIMEOUT_MS }: SigningProgram,
  digest: Buffer,
): Promise<Buffer> {
  const { promise, resolve, reject } = settled<Buffer>();
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], shell: false });
  const output: Buffer[] = [];
  let outputBytes = 0;
  let complaint = '';
  /** Ends it without waiting for processes of its own that may hold its pipes. */
  const giveUp = (why: string): void => {
    child.kill('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
    reject(unavailable(program, why));
  };
  const timer = setTimeout(() => giveUp(`did not sign within ${timeoutMs} ms`), timeoutMs);
  child.stdout.on('data', (chunk: Buffer) => {
    outputBytes += chunk.length;
    if (outputBytes > SIGNATURE_BYTES_MAX) giveUp('wrote more than a signature');
    else output.push(chunk);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, COMPLAINT_LENGTH_MAX);
  });
  child.once('error', (cause) => reject(unavailable(program, 'cannot be started', cause)));
  child.once('close', (code, signal) => {
    if (code === 0) resolve(Buffer.concat(output));
    else reject(unavailable(program, `ended with ${code ?? signal}: ${complaint.trim()}`));
  });
  // one that ends without reading is told by its exit code
  child.stdin.on('error', () => undefined);
  child.stdin.end(digest);
  return promise.finally(() => clearTimeout(timer));
}

/** A promise and what settles it; the first word counts. */
function settled<T>() {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function unavailable(program: string, why: string, cause?: unknown): AppError {
  return new AppError('signer_unavailable', `The signing program ${program} ${why}.`, { cause });
}
