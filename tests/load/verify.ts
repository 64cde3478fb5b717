// node tests/load/verify.ts: how long a gigabyte takes to be verified, beside `openssl dgst -sha256` on the same bytes.
import { execFileSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';
import {
  createFileSigner,
  generateKeyPair,
  MODEL_FOLDER,
  openModelBundle,
  verifyModelBundle,
} from '@millrace/integrity';
import { bundleTar, makeBundle, writeBundleFolder } from '@millrace/testing';
import { table } from '../../scripts/lib/format.ts';
import { readVerified } from '../../services/inference/src/engine/runtime-session.ts';

const USAGE = `node tests/load/verify.ts [-- --mib N] [--rounds N]

Writes an exported bundle of N MiB in four files (default 1024), reads it once so that it is in the page cache, and then
measures in turn, some rounds of each (default 5), in seconds a GiB, elapsed and of processors:
  openssl        openssl dgst -sha256 of the same files, one process: what hashing costs on this machine
  folder, tar    millrace verify of the bundle, the start of the command included
  in process     the same without the start
  node cache     what inference reads and checks of a file before it loads it`;

const { values: options } = parseArgs({
  options: {
    mib: { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}

const MIB = 1024 * 1024;
const FILES = 4;
const fileBytes = (Number(options.mib) / FILES) * MIB;
const gib = (fileBytes * FILES) / 1024 ** 3;
const home = mkdtempSync(join(tmpdir(), 'millrace-verify-bench-'));
const [folder, tar, key] = ['folder', 'bundle.tar', 'key.pem'].map((name) => join(home, name)) as [
  string,
  string,
  string,
];

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Processor time of this process and of those that it ran, which other work on the machine hardly changes. */
function processorSeconds(): number {
  const text = readFileSync('/proc/self/stat', 'latin1');
  const values = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  // utime, stime, cutime and cstime, in hundredths
  return values.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100;
}

async function prepare(): Promise<{ pem: string; files: { path: string; sha256: string }[] }> {
  const { privateKeyPem, publicKeyPem } = generateKeyPair();
  const contents = Object.fromEntries(
    Array.from({ length: FILES }, (_, i) => [`weights-${i}.bin`, randomFillSync(Buffer.alloc(fileBytes))]),
  );
  const bundle = { model: 'large', version: 'v1', files: contents };
  const entries = await makeBundle(bundle, createFileSigner(privateKeyPem));
  await writeBundleFolder(folder, entries);
  const out = createWriteStream(tar);
  // entry by entry: a tar of it all is larger than one buffer may be
  for (const entry of entries) out.write(bundleTar([entry]).subarray(0, -2 * 512));
  out.end(Buffer.alloc(2 * 512));
  await finished(out);
  writeFileSync(key, publicKeyPem);
  const files = Object.entries(contents).map(([path, bytes]) => ({
    path: join(folder, MODEL_FOLDER, path),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }));
  return { pem: publicKeyPem, files };
}

const { pem, files } = await prepare();
const command = (path: string) => () => {
  const args = [join(REPOSITORY_ROOT, 'libs/cli/src/main.ts'), 'verify', path, '--public-key', key, '--json'];
  const answer = execFileSync(nodeBinary(), ['--no-warnings', ...args], { encoding: 'utf8' });
  if ((JSON.parse(answer) as { verified?: boolean }).verified !== true) throw new Error(answer);
};
const ways: [string, () => unknown][] = [
  [
    'openssl dgst -sha256',
    () => execFileSync('openssl', ['dgst', '-sha256', ...files.map(({ path }) => path)]),
  ],
  ['millrace verify FOLDER', command(folder)],
  ['millrace verify FILE.tar', command(tar)],
  ['folder, in process', async () => verifyModelBundle(await openModelBundle(folder), pem)],
  [
    'node cache, read for the runtime',
    async () => {
      for (const file of files) await readVerified(file);
    },
  ],
];

try {
  const times = new Map<string, { wall: number[]; processor: number[] }>(
    ways.map(([name]) => [name, { wall: [], processor: [] }]),
  );
  for (let round = -1; round < Number(options.rounds); round += 1) {
    for (const [name, run] of ways) {
      const [started, busy] = [performance.now(), processorSeconds()];
      await run();
      // the first round only warms up
      if (round < 0) continue;
      times.get(name)?.wall.push((performance.now() - started) / 1000 / gib);
      times.get(name)?.processor.push((processorSeconds() - busy) / gib);
    }
  }
  const base = times.get(ways[0]?.[0] ?? '') ?? { wall: [], processor: [] };
  process.stdout.write(
    `${table([
      ['per GiB', 'median', 'fastest', 'processor', 'processor beside openssl'],
      ...[...times].map(([name, { wall, processor }]) => [
        name,
        `${median(wall).toFixed(2)} s`,
        `${Math.min(...wall).toFixed(2)} s`,
        `${median(processor).toFixed(2)} s`,
        `${(median(processor) / median(base.processor)).toFixed(2)}x`,
      ]),
    ])}\n`,
  );
} finally {
  rmSync(home, { recursive: true, force: true });
}
