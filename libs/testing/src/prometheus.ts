import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { environmentsRoot, freePort } from '@millrace/embedded';
import { isLongRun } from './long-run.ts';
import { startTestProcess } from './test-process.ts';

const run = promisify(execFile);
/** The package is 19 MB; a slow mirror sends that within this (ms). */
const FETCH_TIMEOUT_MS = 120_000;
const SCRAPE_INTERVAL = '1s';
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

type Programs = { readonly prometheus: string; readonly promtool: string };

function programsIn(folder: string): Programs | undefined {
  const programs = { prometheus: join(folder, 'prometheus'), promtool: join(folder, 'promtool') };
  return Object.values(programs).every((path) => existsSync(path)) ? programs : undefined;
}

/** Debian's package, unpacked without being installed: neither npm nor PyPI has the server. */
async function fetchPackage(folder: string): Promise<void> {
  await mkdir(environmentsRoot(process.env), { recursive: true });
  const work = await mkdtemp(join(environmentsRoot(process.env), 'prometheus-'));
  try {
    const options = { cwd: work, timeout: FETCH_TIMEOUT_MS };
    // as root apt gives the download to a user that cannot write here
    await run('apt-get', ['-o', 'APT::Sandbox::User=', 'download', 'prometheus'], options);
    const [file] = (await readdir(work)).filter((name) => name.endsWith('.deb'));
    if (file === undefined) throw new Error('apt-get downloaded nothing');
    await run('dpkg', ['-x', file, 'unpacked'], options);
    // another test file may have been faster
    await rename(join(work, 'unpacked/usr/bin'), folder).catch((error: unknown) => {
      if (programsIn(folder) === undefined) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * A real Prometheus: of the machine where PATH has one, else Debian's, fetched once by apt-get (which checks its
 * signature) and unpacked beside the Python environments without root. Undefined where it cannot be had, and the run
 * says why; a full run throws.
 */
export async function prometheusPrograms(): Promise<Programs | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const programs = programsIn(folder);
    if (programs !== undefined) return programs;
  }
  const folder = join(environmentsRoot(process.env), 'prometheus');
  try {
    if (programsIn(folder) === undefined) await fetchPackage(folder);
    const programs = programsIn(folder);
    if (programs === undefined) throw new Error(`${folder} lacks prometheus or promtool`);
    return programs;
  } catch (cause) {
    if (isLongRun) throw new Error('A full run needs a Prometheus, and there is none.', { cause });
    process.stderr.write(`Left out, for there is no Prometheus here: ${String(cause)}\n`);
    return undefined;
  }
}

/** One series of an answer to a query: its labels and its value now. */
export type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number };

/** A Prometheus that scrapes every second. */
export type TestPrometheus = {
  /** Asks by its HTTP API. Throws what it answers to a query that it refuses. */
  query(expression: string): Promise<Sample[]>;
  /** Complaints of `promtool check metrics` about a text; throws when it cannot be read at all. */
  check(text: string): Promise<string[]>;
  stop(): Promise<void>;
};

/** Starts a Prometheus that scrapes `targets` (`host:port`) by the name of their job. */
export async function startPrometheus(
  { prometheus, promtool }: Programs,
  targets: Readonly<Record<string, string>>,
): Promise<TestPrometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-prometheus-'));
  const jobs = Object.entries(targets).map(([name, target]) => ({
    job_name: name,
    static_configs: [{ targets: [target] }],
  }));
  const global = { scrape_interval: SCRAPE_INTERVAL, scrape_timeout: SCRAPE_INTERVAL };
  // JSON is YAML
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify({ global, scrape_configs: jobs }));
  const origin = `127.0.0.1:${await freePort()}`;
  const server = await startTestProcess({
    name: 'prometheus',
    command: prometheus,
    args: [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${origin}`,
    ],
    isReady: (log) => log.includes('Server is ready to receive web requests'),
  });
  return {
    async query(expression) {
      const response = await fetch(`http://${origin}/api/v1/query?query=${encodeURIComponent(expression)}`);
      const answer = (await response.json()) as {
        error?: string;
        data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
      };
      if (answer.data === undefined) throw new Error(answer.error);
      return answer.data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
    },
    async check(text) {
      const checking = run(promtool, ['check', 'metrics'], { maxBuffer: OUTPUT_BYTES_MAX });
      checking.child.stdin?.end(text);
      const said = await checking.catch((error: { code?: number; stderr: string; stdout: string }) => {
        // 3 is complaints about names and help; anything else is a text that is no exposition
        if (error.code === 3) return error;
        throw new Error(`promtool: ${error.stderr}`);
      });
      return `${said.stdout}${said.stderr}`.split('\n').filter((line) => line !== '');
    },
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
