import { hash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PredictionBatch } from '@millrace/contracts';
import type { Logger } from '@millrace/service-kit';
import Value from 'typebox/value';

/** Bytes that wait in the folder: four times what one process lets wait in memory. */
const FOLDER_BYTES_MAX = 256 * 1024 * 1024;
/** Faulty files that stay for somebody to look at; the oldest go first. */
const FAULTY_FILES_MAX = 4;
/** A claim that was not renewed for this long is of a process that is gone, and so is a draft (ms). */
const CLAIM_MS = 60_000;

const WAITING = '.batches';
const CLAIMED = '.claimed';
const DRAFT = '.draft';
const FAULTY = '.faulty';

/** One batch as it was formed: its payload and what of it the sender needs. */
export type SpilledBatch = { id: string; modelVersionId: string; count: number; payload: string };

/** A file of batches that this process has claimed. */
export type SpillFile = {
  batches: readonly SpilledBatch[];
  /** Says that this process still sends them. */
  renew(): Promise<void>;
  /** All were acknowledged: removes the file. */
  done(): Promise<void>;
  /** Leaves the file to the next process; what was sent already is recognised by its batch id. */
  giveBack(): Promise<void>;
};

/** Batches that no bus took before their process ended; several processes may share the folder. */
export type SpillFolder = {
  /** Bytes that it still takes. Throws when the folder cannot be made. */
  room(): Promise<number>;
  /** On disk when it resolves. Throws when it is over the bound or the disk refuses. */
  keep(payloads: readonly string[]): Promise<void>;
  /** The oldest file that nobody sends; undefined when there is none. Faulty ones are set aside. Never throws. */
  take(): Promise<SpillFile | undefined>;
  /** Files that were set aside because they were not what was written. */
  faultyFiles(): number;
};

/** `<ms>-<uuid>`, which the name of a file begins with in each of its states. */
const stemOf = (name: string): string => name.slice(0, name.indexOf('.'));

/** Batches of a file's content; requests are answered between two of them. Throws when it is not what was written. */
async function parse(content: string): Promise<SpilledBatch[]> {
  const end = content.indexOf('\n');
  const body = content.slice(end + 1);
  if (end < 0 || content.slice(0, end) !== hash('sha256', body)) throw new Error('the digest differs');
  const batches: SpilledBatch[] = [];
  for (const payload of body.split('\n').filter((line) => line !== '')) {
    await nextTurn();
    const batch: unknown = JSON.parse(payload);
    if (!Value.Check(PredictionBatch, batch)) throw new Error('a line is no batch of predictions');
    const { batchId: id, modelVersionId, predictions } = batch;
    batches.push({ id, modelVersionId, count: predictions.length, payload });
  }
  return batches;
}

/** Writes `content` so that after a power loss the file is whole or not there. */
async function writeDurably(folder: string, name: string, content: string): Promise<void> {
  const draft = join(folder, `${name}${DRAFT}`);
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, join(folder, name));
  const directory = await open(folder, 'r');
  await directory.sync().finally(() => directory.close());
}

/**
 * A spill folder at `folder`, made when it is first used. A file is claimed by renaming it, and a claim that is not
 * renewed passes to the next process; should two processes send the same file, each batch is stored once all the same.
 */
export function createSpillFolder(folder: string, logger: Logger): SpillFolder {
  let faulty = 0;

  /** Names of the files, oldest first; none before the folder is made. */
  async function list(): Promise<string[]> {
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names.sort();
  }

  const ageMs = async (name: string): Promise<number> =>
    Date.now() - (await stat(join(folder, name)).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;

  async function room(): Promise<number> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    let used = 0;
    for (const name of await list())
      if (!name.endsWith(FAULTY)) used += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0;
    return Math.max(0, FOLDER_BYTES_MAX - used);
  }

  async function setAside(path: string, name: string, reason: unknown): Promise<void> {
    faulty += 1;
    logger.error({ err: reason, file: name }, 'A file of spilled predictions is faulty; it was set aside.');
    await rename(path, join(folder, name));
    const aside = (await list()).filter((name) => name.endsWith(FAULTY));
    for (const name of aside.slice(0, -FAULTY_FILES_MAX)) await rm(join(folder, name), { force: true });
  }

  /** Path of the file once it is this process's; undefined when another was faster. */
  async function claim(name: string): Promise<string | undefined> {
    const path = join(folder, `${stemOf(name)}.${randomUUID()}${CLAIMED}`);
    const now = new Date();
    try {
      await utimes(join(folder, name), now, now);
      await rename(join(folder, name), path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async function load(path: string, stem: string): Promise<SpillFile | undefined> {
    try {
      const { size } = await stat(path);
      if (size > FOLDER_BYTES_MAX) throw new Error(`${size} bytes are over the bound, ${FOLDER_BYTES_MAX}`);
      const batches = await parse(await readFile(path, 'utf8'));
      return {
        batches,
        renew: () => utimes(path, new Date(), new Date()).catch(() => undefined),
        done: () => rm(path, { force: true }).catch(() => undefined),
        giveBack: () => rename(path, join(folder, `${stem}${WAITING}`)).catch(() => undefined),
      };
    } catch (error) {
      await setAside(path, `${stem}${FAULTY}`, error);
      return undefined;
    }
  }

  async function takeFirst(): Promise<SpillFile | undefined> {
    for (const name of await list()) {
      if (name.endsWith(DRAFT) && (await ageMs(name)) > CLAIM_MS)
        await rm(join(folder, name), { force: true });
      const isFree = name.endsWith(WAITING) || (name.endsWith(CLAIMED) && (await ageMs(name)) > CLAIM_MS);
      const path = isFree ? await claim(name) : undefined;
      const file = path === undefined ? undefined : await load(path, stemOf(name));
      if (file !== undefined) return file;
    }
    return undefined;
  }

  return {
    room,
    async keep(payloads) {
      const body = payloads.map((payload) => `${payload}\n`).join('');
      const content = `${hash('sha256', body)}\n${body}`;
      const sizeBytes = Buffer.byteLength(content);
      if (sizeBytes > (await room())) throw new Error(`the spill folder has no room for ${sizeBytes} bytes`);
      await writeDurably(folder, `${Date.now()}-${randomUUID()}${WAITING}`, content);
      logger.warn({ batches: payloads.length, sizeBytes }, 'Predictions wait on disk for the next start.');
    },
    async take() {
      try {
        return await takeFirst();
      } catch (error) {
        logger.error({ err: error }, 'The folder of spilled predictions cannot be read.');
        return undefined;
      }
    },
    faultyFiles: () => faulty,
  };
}
