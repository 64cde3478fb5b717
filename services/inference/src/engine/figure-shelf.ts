import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, cpus } from 'node:os';
import { join } from 'node:path';
import type { ProbeReply } from './probe.ts';

/** Figures are believed for a day: those that were taken on a busy machine heal by themselves (ms). */
const AGE_MAX_MS = 24 * 60 * 60 * 1000;
/** Graphs whose figures are kept, about 1 KB each; the oldest fifth goes when there are more. */
const FILES_MAX = 10_000;
const FILES_AFTER_PRUNING = 8_000;
/** To be raised when what is measured, or how, changes. */
const FIGURES = 2;

/** Figures of graphs that outlast a process, so that a restart need not load each model twice to place it. */
export type FigureShelf = {
  /** Undefined where there are none that hold for this machine and this runtime. */
  read(key: string): Promise<ProbeReply | undefined>;
  /** Never throws: without it the next start takes longer. */
  write(key: string, reply: ProbeReply): Promise<void>;
};

type Shelved = { key: string; reply: ProbeReply };

/** The exact versions of what runs graphs are among them. */
const { dependencies } = createRequire(import.meta.url)('../../package.json') as { dependencies: object };

/** Keeps a file for each graph in `folder`, which may be emptied at any time. */
export function createFigureShelf(folder: string): FigureShelf {
  const machine = [FIGURES, JSON.stringify(dependencies), arch(), cpus()[0]?.model, cpus().length];
  const wholeKey = (key: string): string => [...machine, key].join();
  const pathOf = (whole: string): string =>
    join(folder, `${createHash('sha256').update(whole).digest('hex')}.json`);

  async function prune(): Promise<void> {
    const paths = (await readdir(folder)).map((name) => join(folder, name));
    if (paths.length <= FILES_MAX) return;
    const aged = await Promise.all(paths.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })));
    aged.sort((a, b) => b.at - a.at);
    for (const { path } of aged.slice(FILES_AFTER_PRUNING)) await rm(path, { force: true });
  }

  return {
    async read(key) {
      const whole = wholeKey(key);
      const path = pathOf(whole);
      try {
        if (Date.now() - (await stat(path)).mtimeMs > AGE_MAX_MS) return undefined;
        const shelved = JSON.parse(await readFile(path, 'utf8')) as Shelved;
        return shelved.key === whole ? shelved.reply : undefined;
      } catch {
        // not there, or cut short
        return undefined;
      }
    },
    async write(key, reply) {
      const whole = wholeKey(key);
      const draft = `${pathOf(whole)}.${randomUUID()}`;
      try {
        await mkdir(folder, { recursive: true });
        await writeFile(draft, JSON.stringify({ key: whole, reply } satisfies Shelved), { mode: 0o600 });
        await rename(draft, pathOf(whole));
        await prune();
      } catch {
        await rm(draft, { force: true }).catch(() => undefined);
      }
    },
  };
}
